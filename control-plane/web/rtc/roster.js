// Owns who is in the room: participants with their tracks, speaking, connection quality and
// stream state, as the room reports them. Pure state: no connection, no DOM.
//
// Events: "change", "arrived"(participant), "departed"(participant).

import { Emitter } from './emitter.js';
import { participantOf, trackOf } from './shape.js';

export class Roster extends Emitter {
  me;
  others = new Map();
  /** Tracks that come another way until the room has them, by identity. */
  #standIns = new Map();

  /** Everyone, me first, the others in the order they joined. */
  all() {
    const others = [...this.others.values()].sort((a, b) => a.joinedAt - b.joinedAt || (a.sid < b.sid ? -1 : 1));
    return this.me ? [this.me, ...others] : others;
  }

  bySid(sid) {
    return this.me?.sid === sid ? this.me : this.others.get(sid);
  }

  byIdentity(identity) {
    return this.all().find((participant) => participant.identity === identity);
  }

  trackBySid(sid) {
    for (const participant of this.all()) {
      const track = participant.tracks.find((candidate) => candidate.sid === sid);
      if (track) return { participant, track };
    }
    return undefined;
  }

  /** Shows these tracks of `identity` in place of those of the room, until each is dropped. */
  standIn(identity, tracks) {
    this.#standIns.set(identity, tracks);
  }

  /** The stand-in for `source` of `identity`, if there is one, is no longer needed. Returns its sid. */
  dropStandIn(identity, source) {
    const held = this.#standIns.get(identity) ?? [];
    const dropped = held.find((track) => track.source === source);
    if (!dropped) return '';
    const left = held.filter((track) => track !== dropped);
    if (left.length > 0) this.#standIns.set(identity, left);
    else this.#standIns.delete(identity);
    const participant = this.byIdentity(identity);
    if (participant) participant.tracks = participant.tracks.filter((track) => track !== dropped);
    this.emit('change');
    return dropped.sid;
  }

  /** Stand-ins that are left, as `[identity, source]`. */
  get standIns() {
    return [...this.#standIns].flatMap(([identity, tracks]) => tracks.map(({ source }) => [identity, source]));
  }

  /** Takes a join's participants. On a second join those who stayed neither leave nor arrive. */
  replaceAll(me, others) {
    const before = new Map([...this.others.values()].map((participant) => [participant.identity, participant]));
    this.me = withLiveState(participantOf(me), undefined);
    this.others = new Map();
    for (const json of others ?? []) {
      const next = this.#withStandIns(participantOf(json));
      this.others.set(next.sid, withLiveState(next, undefined));
      if (before.size > 0 && !before.has(next.identity)) this.emit('arrived', next);
      before.delete(next.identity);
    }
    for (const gone of before.values()) this.emit('departed', gone);
    this.emit('change');
  }

  apply(update) {
    for (const json of update.participants ?? []) this.#applyOne(this.#withStandIns(participantOf(json)));
    this.emit('change');
  }

  applySpeakers({ speakers = [] }) {
    for (const { sid, level = 0, active = false } of speakers) {
      const participant = this.bySid(sid);
      if (!participant) continue;
      participant.isSpeaking = active;
      participant.level = active ? level : 0;
      if (active) participant.spokeAt = performance.now();
    }
    this.emit('change');
  }

  applyQuality({ updates = [] }) {
    for (const { participantSid, quality = 'POOR' } of updates) {
      const participant = this.bySid(participantSid);
      if (participant) participant.quality = quality;
    }
    this.emit('change');
  }

  applyStreamStates({ streamStates = [] }) {
    for (const { trackSid, state = 'ACTIVE' } of streamStates) {
      const found = this.trackBySid(trackSid);
      if (found) found.participant.paused[state === 'PAUSED' ? 'add' : 'delete'](trackSid);
    }
    this.emit('change');
  }

  /** Records that a publisher lets us have, or no longer have, a track. */
  applyPermission({ trackSid, allowed = false }) {
    const found = this.trackBySid(trackSid);
    if (found) found.participant.denied[allowed ? 'delete' : 'add'](trackSid);
    this.emit('change');
  }

  /** Changes one of my tracks at once, before the room confirms it. */
  putMyTrack(json, isMuted) {
    const track = { ...trackOf(json), isMuted };
    this.me.tracks = [...this.me.tracks.filter(({ sid }) => sid !== track.sid), track];
    this.emit('change');
  }

  dropMyTrack(sid) {
    this.me.tracks = this.me.tracks.filter((track) => track.sid !== sid);
    this.emit('change');
  }

  #withStandIns(participant) {
    return { ...participant, tracks: [...(this.#standIns.get(participant.identity) ?? []), ...participant.tracks] };
  }

  #applyOne(next) {
    const current = this.bySid(next.sid);
    if (current && next.version && next.version < current.version) return;
    if (next.sid === this.me?.sid) {
      this.me = withLiveState(next, this.me);
      return;
    }
    if (next.state === 'DISCONNECTED') {
      if (current) this.#drop(current, next.identity);
      return;
    }
    if (next.identity === this.me?.identity) return;
    const former = [...this.others.values()].find((other) => other.identity === next.identity && other.sid !== next.sid);
    if (former) {
      // Never two tiles for one identity: the later joiner is the one in the room.
      if (former.joinedAt > next.joinedAt) return;
      this.others.delete(former.sid);
    }
    this.others.set(next.sid, withLiveState(next, current));
    if (!current && !former) this.emit('arrived', next);
  }

  #drop(participant) {
    this.others.delete(participant.sid);
    this.emit('departed', participant);
  }
}

/** Carries over what updates do not repeat. */
function withLiveState(next, current) {
  return {
    ...next,
    permission: next.permission ?? current?.permission,
    isSpeaking: current?.isSpeaking ?? false,
    level: current?.level ?? 0,
    spokeAt: current?.spokeAt ?? 0,
    quality: current?.quality ?? 'EXCELLENT',
    paused: current?.paused ?? new Set(),
    denied: current?.denied ?? new Set(),
  };
}
