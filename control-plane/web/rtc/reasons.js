// Owns the words a person reads when something ends or is refused. No logic beyond look-up.

const ENDINGS = {
  CLIENT_INITIATED: ['You left the meeting', ''],
  DUPLICATE_IDENTITY: ['You joined from somewhere else', 'This meeting is now open in another window or on another device.'],
  SERVER_SHUTDOWN: ['The meeting was interrupted', 'The service is restarting. You can rejoin in a moment.'],
  PARTICIPANT_REMOVED: ['You were removed from the meeting', 'A host ended your participation.'],
  ROOM_DELETED: ['The meeting has ended', 'A host ended it for everyone.'],
  ROOM_CLOSED: ['The meeting has ended', 'The room was closed.'],
  STATE_MISMATCH: ['The connection was lost', 'The meeting no longer remembers you. Please rejoin.'],
  JOIN_FAILURE: ['Joining did not work', 'The media connection could not be set up. A firewall may be in the way.'],
  MEDIA_FAILURE: ['The connection was lost', 'Audio and video could not get through. A firewall may be in the way.'],
  CONNECTION_TIMEOUT: ['The connection was lost', 'We did not hear from your device for too long.'],
  SIGNAL_CLOSE: ['The connection was lost', 'Please check your network and rejoin.'],
  USER_UNAVAILABLE: ['Nobody answered', ''],
  USER_REJECTED: ['The invitation was declined', ''],
  // Ours: not on the wire.
  UNREACHABLE: ['The connection was lost', 'We tried to reconnect without success. Please check your network and rejoin.'],
  TOKEN_REFUSED: ['Your invitation is no longer valid', 'Ask for a new invitation link.'],
};

/** `{title, detail}` for a DisconnectReason name, or for one of ours. */
export function endingOf(reason) {
  const [title, detail] = ENDINGS[reason] ?? ['You left the meeting', 'The meeting ended your connection.'];
  return { title, detail };
}

const REQUEST_WORDS = {
  NOT_FOUND: 'it no longer exists',
  NOT_ALLOWED: 'you do not have permission',
  LIMIT_EXCEEDED: 'a limit of this meeting was reached',
  UNSUPPORTED_TYPE: 'this meeting does not support it',
  INVALID_REQUEST: 'the request was not understood',
};

/** Sentence for a livekit.RequestResponse; "" when there is nothing to tell. */
export function requestSentence(response) {
  const reason = response.reason ?? 'OK';
  if (reason === 'OK' || reason === 'QUEUED') return '';
  const what = response.addTrack ? 'Sharing did not start' : response.mute ? 'Muting did not work' : 'That did not work';
  const why = REQUEST_WORDS[reason] ?? response.message ?? 'something went wrong';
  return `${what}: ${why}.`;
}

/** Sentence for a failed device request (the name of a DOMException). */
export function deviceSentence(device, error) {
  const name = error?.name ?? '';
  if (name === 'NotAllowedError' || name === 'SecurityError') {
    return `${device} access is blocked. Allow it in your browser’s address bar, then try again.`;
  }
  if (name === 'NotFoundError' || name === 'OverconstrainedError') return `No ${device.toLowerCase()} was found.`;
  if (name === 'NotReadableError' || name === 'AbortError') {
    return `Your ${device.toLowerCase()} is in use by another application.`;
  }
  return `Your ${device.toLowerCase()} could not be started.`;
}
