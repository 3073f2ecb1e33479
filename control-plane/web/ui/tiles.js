// Owns which tiles there are and what each shows, from the state of the conference. Pure.

/** Tile descriptions: everyone's camera, me first, and every shared screen. */
export function describeTiles(conference) {
  const everyone = conference.roster.all().filter(({ permission }) => !permission?.isHidden);
  return everyone.flatMap((participant) => {
    const isMe = participant === conference.roster.me;
    const camera = isMe ? myCamera(conference, participant) : theirCamera(conference, participant);
    const screen = isMe ? myScreen(conference, participant) : theirScreen(conference, participant);
    return screen ? [camera, screen] : [camera];
  });
}

export function hasMicMuted(participant) {
  const mic = participant.tracks.find(({ kind, source }) => kind === 'audio' && source !== 'SCREEN_SHARE_AUDIO');
  return !mic || mic.isMuted;
}

function base(participant, kind, isMe) {
  const { identity, name, quality } = participant;
  return { key: `${identity}/${kind}`, identity, name, kind, isMe, quality, isSpeaking: false, isMicMuted: false, hint: '', trackSid: '', isExplained: false, spokeAt: participant.spokeAt };
}

function myCamera(conference, me) {
  const isMicMuted = !conference.isOn('MICROPHONE');
  return {
    ...base(me, 'camera', true),
    label: `${me.name} (you)`,
    track: conference.media.cameraTrack,
    trackSid: conference.publications.bySource.get('CAMERA')?.sid ?? '',
    isMicMuted,
    isSpeaking: me.isSpeaking && !isMicMuted,
  };
}

function theirCamera(conference, participant) {
  const camera = participant.tracks.find(({ kind, source }) => kind === 'video' && (source === 'CAMERA' || source === 'UNKNOWN'));
  return {
    ...base(participant, 'camera', false),
    label: participant.name,
    isMicMuted: hasMicMuted(participant),
    isSpeaking: participant.isSpeaking,
    ...media(conference, participant, camera),
  };
}

function myScreen(conference, me) {
  if (!conference.screenTrack) return undefined;
  const trackSid = conference.publications.bySource.get('SCREEN_SHARE')?.sid ?? '';
  return { ...base(me, 'screen', true), label: 'Your screen', track: conference.screenTrack, trackSid };
}

function theirScreen(conference, participant) {
  const screen = participant.tracks.find(({ kind, source }) => kind === 'video' && source === 'SCREEN_SHARE');
  if (!screen || screen.isMuted) return undefined;
  return { ...base(participant, 'screen', false), label: `${participant.name}’s screen`, ...media(conference, participant, screen) };
}

function media(conference, participant, track) {
  const isExplained = Boolean(track) && !conference.direct.isDirect;
  if (!track || track.isMuted) return { track: undefined, trackSid: track?.sid ?? '', isExplained };
  const isDenied = participant.denied.has(track.sid);
  return {
    track: isDenied ? undefined : conference.received.get(track.sid)?.track,
    trackSid: track.sid,
    isExplained,
    hint: isDenied ? 'Not shared with you' : participant.paused.has(track.sid) ? 'Paused: weak connection' : '',
  };
}
