// Owns the question to the service why we are sent what we are sent, and the words for its reasons.

const REASONS = {
  SERVED_IN_FULL: 'The best there is.',
  CLIENT_DISABLED: 'It is not shown now, so it is not sent.',
  CLIENT_ASKS_LESS: 'It is shown small, so a smaller picture is asked for.',
  CLIENT_CAP: 'Your browser limits what may be sent to it.',
  CODEC_UNSUPPORTED: 'Your browser cannot play this format.',
  PUBLISHER_MUTED: 'They switched it off.',
  PUBLISHER_NOT_SENDING: 'They do not send more: their upload or their device does not keep up.',
  UPLINK_LOSS: 'Their upload loses packets.',
  RELAY_LOSS: 'Packets get lost inside the meeting service.',
  RECEIVER_ESTIMATE: 'Your download does not carry more.',
  RECEIVER_PRIORITY: 'Your download is shared: other pictures go first or get their part.',
  RECEIVER_LOSS: 'Your download loses packets.',
  AWAITING_KEYFRAME: 'Waiting for a picture of theirs to begin with.',
  NOT_CONNECTED: 'Your connection is not ready yet.',
  NOT_LOUDEST: 'Not among the loudest microphones here.',
  NODE_OVERLOADED: 'The meeting service has too much to do and is late.',
};
const SIDES = { NOBODY: 'All is well', SENDER: 'Their side', NODE: 'Our side', RECEIVER: 'Your side' };

export const sentenceOf = (reason) => REASONS[reason] ?? 'For a reason this page does not know.';
export const sideOf = (side) => SIDES[side] ?? SIDES.NODE;

/** What the service says of our subscriptions; undefined when it does not answer. */
export async function explanation(token) {
  try {
    const answer = await fetch('/web/subscriptions', { headers: { Authorization: `Bearer ${token}` } });
    return answer.ok ? await answer.json() : undefined;
  } catch {
    return undefined;
  }
}
