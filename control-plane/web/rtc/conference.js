// Owns one stay in a room, as the user interface sees it: it joins connection, roster,
// publications, chat and devices, and offers the actions behind the buttons.
// Must not touch the DOM.
//
// Events: "change" (look again), "state"(name), "ended"(reason), "notice"(sentence, tone),
// "arrived"/"departed"(participant), "audio" (the set of audible tracks changed).

import { Emitter } from './emitter.js';
import { Connection } from './connection.js';
import { Roster } from './roster.js';
import { Publications } from './publications.js';
import { Adaptive } from './adaptive.js';
import { Chat } from './chat.js';
import { roomOf } from './shape.js';
import { deviceSentence } from './reasons.js';
import { openScreen } from '../media/devices.js';

export class Conference extends Emitter {
  room = roomOf();
  roster = new Roster();
  chat = new Chat();
  joinedAt = 0;
  /** Received MediaStreamTracks with their transceivers, by track sid. */
  received = new Map();
  screenTrack;
  media;
  connection;
  publications;
  adaptive;
  #busy = new Map();
  #stops = [];

  /** `media` is the LocalMedia the lobby prepared. */
  constructor(media) {
    super();
    this.media = media;
    this.connection = new Connection(() => this.#syncState());
    this.publications = new Publications(this.connection);
    this.adaptive = new Adaptive((settings) => this.connection.send('trackSetting', settings));
    this.#listen();
  }

  get state() {
    return this.connection.state;
  }

  async join(token) {
    await this.connection.start(token);
    this.joinedAt = Date.now();
    this.shareDevices();
  }

  /** Publishes the devices that are on and not yet published. */
  shareDevices() {
    if (this.state === 'ended') return;
    if (this.roster.me?.permission?.canPublish === false) {
      this.media.closeAll();
      this.emit('notice', 'You can watch and listen in this meeting.', 'info');
      return;
    }
    if (this.media.isMicOn && !this.isOn('MICROPHONE')) this.setMicrophone(true);
    if (this.media.isCameraOn && !this.isOn('CAMERA')) this.setCamera(true);
  }

  /** Lets go of the devices' events; the conference is not usable afterwards. */
  dispose() {
    this.#stops.splice(0).forEach((stop) => stop());
    this.adaptive.stop();
  }

  leave() {
    this.connection.leave();
  }

  can(source) {
    const permission = this.roster.me?.permission;
    if (!permission) return true;
    return permission.canPublish && (permission.sources.length === 0 || permission.sources.includes(source));
  }

  get canChat() {
    return this.roster.me?.permission?.canPublishData ?? true;
  }

  isOn(source) {
    const publication = this.publications.bySource.get(source);
    return Boolean(publication && !publication.isMuted);
  }

  setMicrophone(isOn) {
    return this.#exclusive('MICROPHONE', async () => {
      if (isOn && (this.isOn('MICROPHONE') || !this.#allowed('MICROPHONE', 'microphone'))) return;
      if (isOn && !(await this.media.openMic())) return;
      this.media.setMicOn(isOn);
      if (this.publications.bySource.has('MICROPHONE')) {
        // The device may have been lost and opened again while the publication was muted.
        await this.publications.setMuted('MICROPHONE', !isOn, this.media.micTrack ?? undefined);
      } else if (isOn) await this.#publish('MICROPHONE', this.media.micTrack);
    });
  }

  setCamera(isOn) {
    return this.#exclusive('CAMERA', async () => {
      if (isOn && (this.isOn('CAMERA') || !this.#allowed('CAMERA', 'camera'))) return;
      if (isOn && !(await this.media.openCamera())) return;
      const isPublished = this.publications.bySource.has('CAMERA');
      if (!isOn) {
        this.media.closeCamera();
        await this.publications.setMuted('CAMERA', true, null);
      } else if (isPublished) await this.publications.setMuted('CAMERA', false, this.media.cameraTrack);
      else await this.#publish('CAMERA', this.media.cameraTrack);
    });
  }

  setScreenShare(isOn) {
    return this.#exclusive('SCREEN_SHARE', async () => {
      if (!isOn) return this.#stopScreen();
      if (!this.#allowed('SCREEN_SHARE', 'screen')) return undefined;
      let stream;
      try {
        stream = await openScreen();
      } catch (error) {
        // Closing the browser's picker is not an error.
        if (error.name !== 'NotAllowedError') this.emit('notice', deviceSentence('Screen', error), 'error');
        return undefined;
      }
      const [video] = stream.getVideoTracks();
      const [audio] = stream.getAudioTracks();
      this.screenTrack = video;
      video.addEventListener('ended', () => this.setScreenShare(false));
      await this.#publish('SCREEN_SHARE', video);
      if (!this.publications.bySource.has('SCREEN_SHARE')) {
        stream.getTracks().forEach((track) => track.stop());
        this.screenTrack = undefined;
      } else if (audio) await this.#publish('SCREEN_SHARE_AUDIO', audio);
      return undefined;
    });
  }

  say(text) {
    const message = text.trim();
    if (message) this.connection.sendData(this.chat.compose(message));
  }

  #stopScreen() {
    for (const source of ['SCREEN_SHARE', 'SCREEN_SHARE_AUDIO']) {
      this.publications.bySource.get(source)?.track?.stop();
      this.publications.unpublish(source);
    }
    this.screenTrack?.stop();
    this.screenTrack = undefined;
    this.emit('change');
  }

  #allowed(source, word) {
    if (this.can(source)) return true;
    this.emit('notice', `You do not have permission to share your ${word} here.`, 'error');
    return false;
  }

  async #publish(source, track) {
    try {
      await this.publications.publish(source, track);
    } catch (error) {
      if (error.message !== 'reconnecting') this.emit('notice', error.message, 'error');
    }
  }

  /** One action per source at a time; the next waits for the one before. */
  #exclusive(source, action) {
    const run = (this.#busy.get(source) ?? Promise.resolve()).then(action).catch((error) => {
      console.error(error);
      this.emit('notice', 'That did not work. Please try again.', 'error');
    });
    this.#busy.set(source, run);
    return run.then(() => this.emit('change'));
  }

  #listen() {
    const change = () => this.emit('change');
    this.connection.on('join', (body, isAgain) => this.#onJoin(body, isAgain));
    this.connection.on('resume', () => this.adaptive.restart());
    this.connection.on('message', (kind, body) => this.#onMessage(kind, body));
    this.connection.on('media', (event) => this.#onMedia(event));
    this.connection.on('data', (bytes) => this.chat.receive(bytes));
    this.connection.on('reset', () => this.#onReset());
    this.connection.on('state', (state) => this.emit('state', state));
    this.connection.on('ended', (reason) => this.#onEnded(reason));
    this.roster.on('change', () => {
      this.#forgetAbsent();
      change();
    });
    this.roster.on('arrived', (participant) => this.emit('arrived', participant));
    this.roster.on('departed', (participant) => this.emit('departed', participant));
    this.publications.on('change', change);
    this.publications.on('refused', (sentence) => this.emit('notice', sentence, 'error'));
    this.publications.on('removed', (source) => this.#onRemoved(source));
    this.publications.on('mute', (source, isMuted) => this.#onMuteRequest(source, isMuted));
    this.#stops.push(
      this.media.on('lost', (device) => this.#onDeviceLost(device)),
      this.media.on('problem', (sentence) => this.emit('notice', sentence, 'error')),
      this.media.on('swapped', (source, track) => this.publications.replaceTrack(source, track)),
      this.media.on('change', change),
    );
  }

  #onJoin(body, isAgain) {
    this.room = roomOf(body.room);
    this.roster.replaceAll(body.participant, body.otherParticipants);
    if (!isAgain) return;
    this.chat.restart();
    this.adaptive.restart();
    this.publications.republish();
  }

  #onMessage(kind, body) {
    if (this.publications.handle(kind, body)) return;
    const handlers = {
      update: () => this.roster.apply(body),
      speakersChanged: () => this.roster.applySpeakers(body),
      connectionQuality: () => this.roster.applyQuality(body),
      streamStateUpdate: () => this.roster.applyStreamStates(body),
      subscriptionPermissionUpdate: () => this.roster.applyPermission(body),
      subscriptionResponse: () => this.#onSubscriptionRefused(body),
      roomUpdate: () => this.#onRoom(body.room),
      roomMoved: () => {
        this.roster.replaceAll(body.participant, body.otherParticipants);
        this.#onRoom(body.room);
      },
    };
    handlers[kind]?.();
  }

  #onRoom(json) {
    this.room = roomOf(json);
    this.emit('change');
  }

  #onSubscriptionRefused({ trackSid, err = 'SE_UNKNOWN' }) {
    if (err !== 'SE_CODEC_UNSUPPORTED') return;
    const owner = this.roster.trackBySid(trackSid)?.participant;
    if (owner) this.emit('notice', `Your browser cannot play ${owner.name}’s media.`, 'error');
  }

  #onMedia({ track, streams, transceiver }) {
    const sid = sidOf(track, streams[0]);
    if (!sid) return;
    for (const [other, entry] of this.received) if (entry.transceiver === transceiver) this.received.delete(other);
    this.received.set(sid, { track, transceiver });
    streams[0]?.addEventListener('removetrack', (event) => {
      if (event.track !== track || this.received.get(sid)?.track !== track) return;
      this.received.delete(sid);
      this.emit('audio');
      this.emit('change');
    });
    this.emit('audio');
    this.emit('change');
  }

  /** Media of a participant who is gone must not go on playing. */
  #forgetAbsent() {
    for (const [sid, entry] of this.received) {
      if (this.roster.trackBySid(sid)) entry.wasAnnounced = true;
      else if (entry.wasAnnounced) {
        this.received.delete(sid);
        this.emit('audio');
      }
    }
  }

  #onReset() {
    this.received.clear();
    this.emit('audio');
    this.emit('change');
  }

  #onRemoved(source) {
    if (source === 'CAMERA') this.media.closeCamera();
    else if (source === 'MICROPHONE') this.media.setMicOn(false);
    else if (source === 'SCREEN_SHARE') this.#stopScreen();
    this.emit('notice', 'A host stopped your sharing.', 'info');
  }

  #onMuteRequest(source, isMuted) {
    if (!isMuted) {
      // Nobody else switches a microphone or camera on.
      this.emit('notice', 'A host asks you to unmute.', 'info');
    } else if (source === 'CAMERA') {
      this.setCamera(false);
      this.emit('notice', 'A host turned your camera off.', 'info');
    } else if (source === 'MICROPHONE') {
      this.setMicrophone(false);
      this.emit('notice', 'A host muted you.', 'info');
    } else this.setScreenShare(false);
  }

  #onDeviceLost(device) {
    if (device === 'camera') this.setCamera(false);
    else this.setMicrophone(false);
    this.emit('notice', `Your ${device} was disconnected.`, 'error');
  }

  #onEnded(reason) {
    this.screenTrack?.stop();
    this.dispose();
    this.media.closeAll();
    this.emit('ended', reason);
  }

  #syncState() {
    return {
      subscription: { trackSids: [], subscribe: false },
      publishTracks: this.publications.describe(),
      trackSidsDisabled: this.adaptive.disabledSids(),
      datachannelReceiveStates: this.chat.receiveStates(),
    };
  }
}

/** The stream id is "PA_…|TR_…"; the track id is that of the section's first use, so it comes second. */
function sidOf(track, stream) {
  const fromStream = stream?.id.split('|')[1] ?? '';
  if (fromStream.startsWith('TR')) return fromStream;
  return track.id.startsWith('TR') ? track.id : '';
}
