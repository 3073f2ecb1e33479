// Owns the person's own camera and microphone: which devices, open or not, on or off. Shared by
// the lobby's preview and the meeting. Remembers the choice of devices.
//
// Events: "change", "lost"(device), "problem"(sentence), "swapped"(source, track) after another
// device was chosen while one was open.

import { Emitter } from '../rtc/emitter.js';
import { deviceSentence } from '../rtc/reasons.js';
import { openBothTracks, openCameraTrack, openMicTrack } from './devices.js';
import { recall, remember } from './memory.js';

export class LocalMedia extends Emitter {
  cameraTrack;
  micTrack;
  isMicOn = false;
  cameraId = recall('camera');
  micId = recall('mic');
  speakerId = recall('speaker');
  /** Sentence about the last failure, by device; "" when there is none. */
  trouble = { camera: '', mic: '' };

  get isCameraOn() {
    return Boolean(this.cameraTrack);
  }

  /** Opens both, with one question where the browser can; each on its own when that fails. */
  async openBoth() {
    try {
      const { camera, mic } = await openBothTracks(this.cameraId, this.micId);
      this.#useCamera(camera);
      this.#useMic(mic);
      this.emit('change');
    } catch {
      await this.openMic();
      await this.openCamera();
    }
  }

  /** Opens the camera unless it is open; false, with a "problem" event, when it cannot be. */
  async openCamera() {
    if (this.cameraTrack?.readyState === 'live') return true;
    return this.#attempt('camera', 'Camera', async () => this.#useCamera(await openCameraTrack(this.cameraId)));
  }

  closeCamera() {
    this.#release(this.cameraTrack);
    this.cameraTrack = undefined;
    this.emit('change');
  }

  /** Opens the microphone unless it is open; it starts out off. */
  async openMic() {
    if (this.micTrack?.readyState === 'live') return true;
    return this.#attempt('mic', 'Microphone', async () => this.#useMic(await openMicTrack(this.micId)));
  }

  setMicOn(isOn) {
    this.isMicOn = isOn && Boolean(this.micTrack);
    if (this.micTrack) this.micTrack.enabled = this.isMicOn;
    this.emit('change');
  }

  closeMic() {
    this.#release(this.micTrack);
    this.micTrack = undefined;
    this.setMicOn(false);
  }

  closeAll() {
    this.closeCamera();
    this.closeMic();
  }

  async chooseCamera(id) {
    this.cameraId = remember('camera', id);
    if (!this.cameraTrack) return this.emit('change');
    const former = this.cameraTrack;
    const isOpen = await this.#attempt('camera', 'Camera', async () => {
      // Some systems allow one open camera at a time.
      this.#release(former);
      this.#useCamera(await openCameraTrack(id));
    });
    if (isOpen) this.emit('swapped', 'CAMERA', this.cameraTrack);
    else this.emit('lost', 'camera');
    return undefined;
  }

  async chooseMic(id) {
    this.micId = remember('mic', id);
    if (!this.micTrack) return this.emit('change');
    const former = this.micTrack;
    const isOpen = await this.#attempt('mic', 'Microphone', async () => {
      this.#useMic(await openMicTrack(id));
      this.#release(former);
    });
    if (isOpen) this.emit('swapped', 'MICROPHONE', this.micTrack);
    return undefined;
  }

  chooseSpeaker(id) {
    this.speakerId = remember('speaker', id);
    this.emit('change');
  }

  #useCamera(track) {
    track.contentHint = 'motion';
    track.onended = () => {
      if (this.cameraTrack !== track) return;
      this.closeCamera();
      this.emit('lost', 'camera');
    };
    this.cameraTrack = track;
  }

  #useMic(track) {
    track.enabled = this.isMicOn;
    track.onended = () => {
      if (this.micTrack !== track) return;
      this.closeMic();
      this.emit('lost', 'microphone');
    };
    this.micTrack = track;
  }

  #release(track) {
    if (!track) return;
    track.onended = null;
    track.stop();
  }

  async #attempt(device, word, action) {
    try {
      await action();
      this.trouble[device] = '';
      this.emit('change');
      return true;
    } catch (error) {
      this.trouble[device] = deviceSentence(word, error);
      this.emit('problem', this.trouble[device]);
      this.emit('change');
      return false;
    }
  }
}
