// Owns `window.plenum`: a read-only look inside, for tests and for support.

import { StatsProbe } from './rtc/stats.js';

export function exposeDebugHandle(page) {
  const probes = new WeakMap();
  const probeOf = (conference) => {
    if (!probes.has(conference)) probes.set(conference, new StatsProbe(conference));
    return probes.get(conference);
  };
  window.plenum = Object.freeze({
    /** Connection, people and tiles, as plain data. */
    state: () => describe(page),
    /** The rows of the connection details; empty outside a meeting. */
    stats: async () => (page.conference ? probeOf(page.conference).rows() : []),
    /** Breaks something on purpose: "signal-drop", "full-reconnect", "publisher-failed", … */
    simulate: (kind) => page.conference?.connection.simulate(kind),
  });
}

function describe({ conference, meeting }) {
  if (!conference) return { connection: 'idle', me: null, participants: [], tiles: [] };
  const { roster, publications, connection } = conference;
  const person = ({ sid, identity, name, quality, isSpeaking, tracks }) => ({
    sid,
    identity,
    name,
    quality,
    isSpeaking,
    tracks: tracks.map(({ sid: trackSid, kind, source, isMuted }) => ({ sid: trackSid, kind, source, isMuted })),
  });
  return {
    connection: connection.state,
    publisher: connection.publisher?.pc.connectionState ?? 'new',
    subscriber: connection.subscriber?.pc.connectionState ?? 'new',
    recoveries: { ...connection.recoveries },
    direct: conference.direct,
    room: conference.room.name,
    me: roster.me ? person(roster.me) : null,
    participants: [...roster.others.values()].map(person),
    publications: [...publications.bySource.values()].map(({ source, sid, isMuted }) => ({ source, sid, isMuted })),
    received: [...conference.received.keys()],
    messages: conference.chat.messages.map(({ message, identity, mine }) => ({ message, identity, mine })),
    tiles: meeting?.stage.describe() ?? [],
  };
}
