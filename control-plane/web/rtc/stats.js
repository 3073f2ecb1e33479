// Owns turning getStats reports into rows a person can read: one per track and layer, sent and
// received, and a total. Rates are between two looks of the same probe. Reference: W3C webrtc-stats.

export class StatsProbe {
  #conference;
  #former = new Map();

  constructor(conference) {
    this.#conference = conference;
  }

  /** Rows of `direction` "send", "receive" and, last, "total". */
  async rows() {
    const { connection } = this.#conference;
    const [sent, received] = await Promise.all([report(connection.publisher), report(connection.subscriber)]);
    const seen = new Map();
    const rows = [...this.#sentRows(sent, seen), ...this.#receivedRows(received, seen)];
    this.#former = seen;
    rows.push(this.#total(rows, sent, received));
    return rows;
  }

  #sentRows(stats, seen) {
    const rows = [];
    for (const publication of this.#conference.publications.bySource.values()) {
      const mid = publication.transceiver?.mid;
      if (mid === undefined || mid === null) continue;
      for (const entry of entriesOf(stats, 'outbound-rtp', mid)) {
        const remote = stats.get(entry.remoteId) ?? {};
        rows.push({
          ...this.#common(entry, stats, seen, entry.bytesSent),
          direction: 'send',
          sid: publication.sid,
          source: publication.source,
          identity: this.#conference.roster.me?.identity ?? '',
          name: 'You',
          layer: sentLayer(entry),
          isActive: entry.active ?? true,
          lossPercent: remote.fractionLost === undefined ? undefined : remote.fractionLost * 100,
          rttMs: milliseconds(remote.roundTripTime),
          jitterMs: milliseconds(remote.jitter),
          frames: entry.framesEncoded,
          packets: entry.packetsSent,
          limitedBy: entry.qualityLimitationReason,
        });
      }
    }
    return rows;
  }

  #receivedRows(stats, seen) {
    const rows = [];
    const pair = selectedPair(stats);
    for (const [sid, { transceiver }] of this.#conference.received) {
      const owner = this.#conference.roster.trackBySid(sid);
      for (const entry of entriesOf(stats, 'inbound-rtp', transceiver.mid)) {
        rows.push({
          ...this.#common(entry, stats, seen, entry.bytesReceived),
          direction: 'receive',
          sid,
          source: owner?.track.source ?? '',
          identity: owner?.participant.identity ?? '',
          name: owner?.participant.name ?? '',
          layer: receivedLayer(entry, owner?.track),
          isActive: true,
          lossPercent: this.#lossPercent(entry, seen),
          rttMs: milliseconds(pair?.currentRoundTripTime),
          jitterMs: milliseconds(entry.jitter),
          frames: entry.framesDecoded,
          framesDropped: entry.framesDropped,
          freezes: entry.freezeCount,
          packets: entry.packetsReceived,
          audioEnergy: entry.totalAudioEnergy,
        });
      }
    }
    return rows;
  }

  #common(entry, stats, seen, bytes = 0) {
    const mime = stats.get(entry.codecId)?.mimeType ?? '';
    return {
      kind: entry.kind,
      codec: mime.split('/')[1] ?? '',
      width: entry.frameWidth,
      height: entry.frameHeight,
      fps: entry.framesPerSecond,
      bytes,
      bitrate: this.#rate(entry, seen, bytes),
    };
  }

  #rate(entry, seen, bytes) {
    const former = this.#former.get(entry.id);
    seen.set(entry.id, { ...seen.get(entry.id), bytes, timestamp: entry.timestamp });
    const seconds = (entry.timestamp - (former?.timestamp ?? entry.timestamp)) / 1000;
    return seconds > 0 ? Math.max(0, ((bytes - former.bytes) * 8) / seconds) : 0;
  }

  #lossPercent(entry, seen) {
    const lost = entry.packetsLost ?? 0;
    const got = entry.packetsReceived ?? 0;
    const former = this.#former.get(entry.id);
    seen.set(entry.id, { ...seen.get(entry.id), lost, got });
    if (former?.got === undefined) return undefined;
    const newlyLost = Math.max(0, lost - former.lost);
    const expected = newlyLost + Math.max(0, got - former.got);
    return expected > 0 ? (newlyLost / expected) * 100 : 0;
  }

  #total(rows, sent, received) {
    const sum = (direction) => rows.filter((row) => row.direction === direction).reduce((total, row) => total + row.bitrate, 0);
    const pair = selectedPair(received) ?? selectedPair(sent);
    const stats = selectedPair(received) ? received : sent;
    const candidate = stats.get(pair?.localCandidateId);
    const upward = selectedPair(sent);
    return {
      direction: 'total',
      sendBitrate: sum('send'),
      receiveBitrate: sum('receive'),
      availableBitrate: upward?.availableOutgoingBitrate,
      rttMs: milliseconds(pair?.currentRoundTripTime),
      signalRttMs: this.#conference.connection.signalRttMs(),
      path: this.#conference.connection.path ?? '',
      protocol: candidate?.relayProtocol ? `relay/${candidate.relayProtocol}` : candidate?.protocol ?? '',
    };
  }
}

async function report(transport) {
  if (!transport || transport.pc.connectionState === 'closed') return new Map();
  return transport.pc.getStats();
}

function entriesOf(stats, type, mid) {
  return [...stats.values()]
    .filter((entry) => entry.type === type && entry.mid === mid)
    .sort((a, b) => ORDER.indexOf(a.rid) - ORDER.indexOf(b.rid));
}

const ORDER = ['f', 'h', 'q'];

/** The candidate pair that carries the media. */
export function selectedPair(stats) {
  const entries = [...stats.values()];
  const transport = entries.find((entry) => entry.type === 'transport' && entry.selectedCandidatePairId);
  return transport
    ? stats.get(transport.selectedCandidatePairId)
    : entries.find((entry) => entry.type === 'candidate-pair' && entry.nominated && entry.state === 'succeeded');
}

function sentLayer({ rid, scalabilityMode }) {
  return [rid, scalabilityMode].filter(Boolean).join(' ');
}

/** A forwarded stream does not name its layer: the announced one nearest in size is it. */
function receivedLayer({ frameWidth = 0, frameHeight = 0, kind }, track) {
  if (kind !== 'video' || !track || track.layers.length < 2 || !frameWidth) return '';
  const long = Math.max(frameWidth, frameHeight);
  const distance = (layer) => Math.abs(Math.log2(Math.max(layer.width, layer.height, 1) / long));
  return track.layers.reduce((best, layer) => (distance(layer) < distance(best) ? layer : best)).rid;
}

function milliseconds(seconds) {
  return seconds === undefined ? undefined : seconds * 1000;
}
