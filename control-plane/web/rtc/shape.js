// Owns the shapes the page works with, made from proto3 JSON, where a field that holds its
// default (false, 0, "", first enum value) may be missing. Nothing else reads raw JSON infos.

/** livekit.TrackInfo */
export function trackOf(json) {
  const type = json.type ?? 'AUDIO';
  return {
    sid: json.sid ?? '',
    kind: type.toLowerCase(),
    source: json.source ?? 'UNKNOWN',
    name: json.name ?? '',
    isMuted: json.muted ?? false,
    width: json.width ?? 0,
    height: json.height ?? 0,
    mimeType: json.mimeType ?? '',
    layers: layersOf(json),
  };
}

function layersOf(json) {
  const layers = json.layers?.length ? json.layers : json.codecs?.[0]?.layers ?? [];
  return layers.map((layer) => ({
    quality: layer.quality ?? 'LOW',
    rid: layer.rid || RID_OF[layer.quality ?? 'LOW'],
    width: layer.width ?? 0,
    height: layer.height ?? 0,
  }));
}

export const RID_OF = { LOW: 'q', MEDIUM: 'h', HIGH: 'f' };

/** livekit.ParticipantInfo */
export function participantOf(json) {
  return {
    sid: json.sid ?? '',
    identity: json.identity ?? '',
    name: json.name || json.identity || 'Guest',
    state: json.state ?? 'JOINING',
    version: json.version ?? 0,
    kind: json.kind ?? 'STANDARD',
    joinedAt: Number(json.joinedAtMs ?? 0) || Number(json.joinedAt ?? 0) * 1000,
    metadata: json.metadata ?? '',
    attributes: json.attributes ?? {},
    permission: json.permission ? permissionOf(json.permission) : undefined,
    disconnectReason: json.disconnectReason ?? 'UNKNOWN_REASON',
    tracks: (json.tracks ?? []).map(trackOf),
  };
}

function permissionOf(json) {
  return {
    canSubscribe: json.canSubscribe ?? false,
    canPublish: json.canPublish ?? false,
    canPublishData: json.canPublishData ?? false,
    sources: json.canPublishSources ?? [],
    isHidden: json.hidden ?? false,
  };
}

/** livekit.Room */
export function roomOf(json = {}) {
  return { sid: json.sid ?? '', name: json.name ?? '', metadata: json.metadata ?? '', isRecording: json.activeRecording ?? false };
}

/** Browser form of livekit.ICEServer */
export function iceServersOf(list = []) {
  return list
    .filter((entry) => entry.urls?.length)
    .map(({ urls, username, credential }) => (username ? { urls, username, credential } : { urls }));
}
