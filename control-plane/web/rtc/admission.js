// Owns how the page gets into a room: the address it was opened with, the page's configuration,
// and the token, from an invitation link or from the guest endpoint.

export class Refused extends Error {}

/** What the address says: `{room, token, claims, isDirect}`; claims are those of the token, unverified. */
export function readAddress(location) {
  const query = new URLSearchParams(location.search);
  const fragment = new URLSearchParams(location.hash.replace(/^#/, ''));
  const token = fragment.get('token') ?? query.get('token') ?? '';
  return { room: query.get('room') ?? '', token, claims: token ? claimsOf(token) : undefined, isDirect: query.has('direct') };
}

/** Room, name and identity in a token's payload; empty strings where it cannot be read. */
export function claimsOf(token) {
  try {
    const payload = token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/');
    const bytes = Uint8Array.from(atob(payload), (char) => char.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    return { room: claims.video?.room ?? '', name: claims.name ?? '', identity: claims.sub ?? '' };
  } catch {
    return { room: '', name: '', identity: '' };
  }
}

/** The page's configuration; sensible values when it cannot be had. */
export async function readConfig() {
  const fallback = { guest_access: true, name: 'Plenum', version: '' };
  try {
    const answer = await fetch('/web/config');
    return answer.ok ? { ...fallback, ...(await answer.json()) } : fallback;
  } catch {
    return fallback;
  }
}

/** A guest's token for `room`; throws Refused with a sentence for the person. */
export async function guestToken(room, name) {
  let answer;
  try {
    answer = await fetch('/web/join', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ room, name }),
    });
  } catch {
    throw new Refused('The meeting service cannot be reached. Check your network and try again.');
  }
  const body = await answer.json().catch(() => ({}));
  if (answer.ok && body.token) return body.token;
  if (answer.status === 403) {
    throw new Refused('Guests cannot join here without an invitation. Ask the host for an invitation link.');
  }
  throw new Refused(body.error || 'The meeting service did not let you in. Please try again.');
}

export function inviteLink(location, room, isDirect) {
  return `${location.origin}/?room=${encodeURIComponent(room)}${isDirect ? '&direct' : ''}`;
}

const FIRST = 'amber brave calm clear coral crisp early fair gentle golden green keen lively lucky merry mild noble quiet rapid silver sunny swift warm wise'.split(' ');
const SECOND = 'autumn bridge canyon cedar cloud comet delta ember falcon forest garden harbour island lantern maple meadow orchard pebble planet prairie river summit valley willow'.split(' ');

/** A room name that is easy to say and unlikely to be in use. */
export function randomRoom() {
  const [a, b, c] = crypto.getRandomValues(new Uint32Array(3));
  return `${FIRST[a % FIRST.length]}-${SECOND[b % SECOND.length]}-${String(c % 10000).padStart(4, '0')}`;
}
