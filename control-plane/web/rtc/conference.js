// Owns one stay in a room, as the user interface sees it: it joins connection, roster,
// publications, chat and devices, and offers the actions behind the buttons.
// Must not touch the DOM.
//
// Events: "change" (look again), "state"(name), "ended"(reason), "notice"(sentence, tone),
// "arrived"/"departed"(participant), "audio" (the set of audible tracks changed).
//
// A conference may begin as a direct call; when that is over it goes on by the server, and what the other one
// sent directly stands in until the same comes from there.

import { Emitter } from './emitter.js';
import { Connection, endReasonOf } from './connection.js';
import { DirectConnection } from './direct.js';
import { Roster } from './roster.js';
import { Publications } from './publications.js';
import { Adaptive } from './adaptive.js';
import { Chat } from './chat.js';
import { roomOf } from './shape.js';
import { deviceSentence } from './reasons.js';
import { openScreen } from '../media/devices.js';

const STAND_IN_MS = 6000;
const STAND_IN_LOOK_MS = 100;
const SWITCH_WORDS = {
  others: 'There are more than two of you: the meeting goes on through the server.',
  failed: 'No direct connection was possible: the meeting goes on through the server.',
  late: 'No direct connection was possible: the meeting goes on through the server.',
  rights: 'This invitation does not allow direct calls: the meeting goes on through the server.',
};

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
  #connectionStops = [];
  /** Messages for who is here, while there is no way to them; `#awaited` is who has to be there for them first. */
  #unsaid = [];
  #awaited = '';
  /** The direct call whose media still stands in, and when that ends. */
  #handover;

  /** `media` is the LocalMedia the lobby prepared. */
  constructor(media) {
    super();
    this.media = media;
    this.publications = new Publications();
    this.adaptive = new Adaptive((settings) => this.connection.send('trackSetting', settings));
    this.#use(new Connection(() => this.#syncState()));
    this.#listen();
  }

  get state() {
    return this.connection.state;
  }

  /** Whether media goes straight to the other one, and by which way: "host", "reflexive", "relayed" or "". */
  get direct() {
    return { isDirect: this.connection.isDirect, path: this.connection.path ?? '' };
  }

  async join(token, isDirect = false) {
    if (isDirect) this.#use(new DirectConnection());
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
    this.#connectionStops.splice(0).forEach((stop) => stop());
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
    if (!message) return;
    this.#unsaid.push(this.chat.compose(message));
    this.#sayUnsaid();
    // Who comes later does not hear what was said before.
    if (this.roster.others.size === 0) this.#unsaid = [];
  }

  #sayUnsaid() {
    const awaited = this.roster.byIdentity(this.#awaited);
    if (awaited && awaited.state !== 'ACTIVE') return;
    this.#awaited = '';
    while (this.#unsaid.length > 0 && this.connection.canSendData) {
      this.connection.sendData(this.chat.encode(this.#unsaid.shift()));
    }
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

  /** Takes another connection; what the former still says is not heard. */
  #use(connection) {
    this.#connectionStops.splice(0).forEach((stop) => stop());
    this.connection = connection;
    this.publications.use(connection);
    this.#connectionStops.push(
      connection.on('join', (body, isAgain) => this.#onJoin(body, isAgain || this.joinedAt > 0)),
      connection.on('resume', () => this.adaptive.restart()),
      connection.on('message', (kind, body) => this.#onMessage(kind, body)),
      connection.on('media', (event, sid) => this.#onMedia(event, sid)),
      connection.on('data', (bytes, from) => this.chat.receive(bytes, from)),
      connection.on('open', () => this.#sayUnsaid()),
      connection.on('reset', () => this.#onReset()),
      connection.on('state', (state) => this.#onState(state)),
      connection.on('ended', (reason) => this.#onEnded(reason)),
      connection.on('path', () => this.emit('change')),
      connection.on('over', (over) => this.#moveToServer(connection, over)),
    );
  }

  #onState(state) {
    this.#sayUnsaid();
    this.emit('state', state);
  }

  /** The direct call is over. */
  async #moveToServer(direct, { token, reason }) {
    const identity = direct.peerIdentity;
    const shown = this.roster.byIdentity(identity)?.tracks.filter(({ sid }) => direct.peerTracks.includes(sid) && this.received.has(sid)) ?? [];
    if (shown.length > 0) this.roster.standIn(identity, shown);
    this.#handover = { direct, timer: setTimeout(() => this.#endHandover(), STAND_IN_MS) };
    if (shown.length === 0) this.#endHandover();
    const next = new Connection(() => this.#syncState());
    this.#use(next);
    this.emit('change');
    if (SWITCH_WORDS[reason]) this.emit('notice', SWITCH_WORDS[reason], 'info');
    try {
      await next.start(token);
      this.#awaited = identity;
    } catch (error) {
      console.warn('join by the server', error);
      this.#onEnded(endReasonOf(error) || 'UNREACHABLE');
    }
  }

  #endHandover() {
    if (!this.#handover) return;
    const { direct, timer } = this.#handover;
    this.#handover = undefined;
    clearTimeout(timer);
    for (const [identity, source] of this.roster.standIns) this.#dropStandIn(identity, source);
    direct.handedOver();
  }

  #dropStandIn(identity, source) {
    const sid = this.roster.dropStandIn(identity, source);
    if (!sid) return;
    this.received.delete(sid);
    this.emit('audio');
    this.emit('change');
    if (this.roster.standIns.length === 0) this.#endHandover();
  }

  /** Once a track plays from the server, what stood in for it is not needed any more. */
  async #replaceStandIn(sid, { receiver }) {
    while (this.#handover && this.received.has(sid)) {
      const stats = [...(await receiver.getStats()).values()].find(({ type }) => type === 'inbound-rtp');
      const owner = this.roster.trackBySid(sid);
      if (owner && (stats?.framesDecoded > 0 || stats?.totalSamplesDuration > 0)) {
        this.#dropStandIn(owner.participant.identity, owner.track.source);
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, STAND_IN_LOOK_MS));
    }
  }

  #listen() {
    const change = () => this.emit('change');
    this.roster.on('change', () => {
      this.#forgetAbsent();
      if (this.#awaited) this.#sayUnsaid();
      change();
    });
    this.roster.on('arrived', (participant) => this.emit('arrived', participant));
    this.roster.on('departed', (participant) => {
      if (this.connection.isDirect) this.#unsaid = [];
      this.emit('departed', participant);
    });
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

  #onMedia({ track, streams, transceiver }, sid) {
    if (!sid) return;
    for (const [other, entry] of this.received) if (entry.transceiver === transceiver) this.received.delete(other);
    this.received.set(sid, { track, transceiver });
    this.#replaceStandIn(sid, transceiver);
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
    this.#endHandover();
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
