// Owns the sound of the meeting: one audio element per received audio track, the choice of
// speaker, and the browser's wish for a click before anything plays.
//
// Events: "blocked"(isBlocked).

import { Emitter } from '../rtc/emitter.js';

export class Playback extends Emitter {
  #elements = new Map();
  #host;
  #speakerId = '';
  isBlocked = false;

  constructor(host) {
    super();
    this.#host = host;
  }

  /** `tracks`: Map from track sid to MediaStreamTrack; what is not in it stops. */
  update(tracks) {
    for (const [sid, element] of this.#elements) {
      if (tracks.get(sid) === element.srcObject?.getAudioTracks()[0]) continue;
      element.srcObject = null;
      element.remove();
      this.#elements.delete(sid);
    }
    for (const [sid, track] of tracks) if (!this.#elements.has(sid)) this.#play(sid, track);
  }

  setSpeaker(id) {
    if (id === this.#speakerId) return;
    this.#speakerId = id;
    for (const element of this.#elements.values()) this.#route(element);
  }

  /** To be called from a click. */
  async unblock() {
    const starts = [...this.#elements.values()].map((element) => element.play());
    const results = await Promise.allSettled(starts);
    this.#setBlocked(results.some(({ status }) => status === 'rejected'));
  }

  #play(sid, track) {
    const element = document.createElement('audio');
    element.autoplay = true;
    element.srcObject = new MediaStream([track]);
    element.dataset.track = sid;
    this.#elements.set(sid, element);
    this.#host.append(element);
    this.#route(element);
    element.play().catch((error) => error.name === 'NotAllowedError' && this.#setBlocked(true));
  }

  #route(element) {
    element.setSinkId?.(this.#speakerId).catch(() => {});
  }

  #setBlocked(isBlocked) {
    if (this.isBlocked === isBlocked) return;
    this.isBlocked = isBlocked;
    this.emit('blocked', isBlocked);
  }
}
