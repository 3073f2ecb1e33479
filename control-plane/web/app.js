// Owns the way through the page: lobby, meeting, farewell, and what the address says.

import { inviteLink, guestToken, randomRoom, readAddress, readConfig, Refused } from './rtc/admission.js';
import { Conference } from './rtc/conference.js';
import { endReasonOf } from './rtc/connection.js';
import { SignalRefused } from './rtc/signal.js';
import { endingOf } from './rtc/reasons.js';
import { LocalMedia } from './media/local.js';
import { Lobby } from './ui/lobby.js';
import { Meeting } from './ui/meeting.js';
import { farewell } from './ui/farewell.js';
import { mountAnnouncements, toast } from './ui/announce.js';
import { exposeDebugHandle } from './debug.js';

const host = document.getElementById('app');
const address = readAddress(location);
const media = new LocalMedia();
const page = { conference: undefined, meeting: undefined };
let config;
let screen;

mountAnnouncements(document.body);
exposeDebugHandle(page);
start();

async function start() {
  if (!('RTCPeerConnection' in window)) {
    toast('This browser cannot take part in video meetings. Please use a current one.', 'error');
  }
  config = await readConfig();
  showLobby(address.room || randomRoom());
}

function show(next) {
  screen?.destroy?.();
  screen = next;
  host.replaceChildren(next.element ?? next);
}

function showLobby(room, problem) {
  document.title = config.name;
  const lobby = new Lobby({
    media,
    config,
    room,
    isDirect: address.isDirect,
    claims: address.claims,
    problem,
    onJoin: (wish) => join(lobby, wish),
  });
  show(lobby);
}

async function join(lobby, wish) {
  lobby.setProgress(true);
  const conference = new Conference(media);
  try {
    await conference.join(address.token || (await guestToken(wish.room, wish.name)), wish.isDirect);
  } catch (error) {
    console.warn('join', error);
    conference.dispose();
    lobby.setProgress(false, sentenceOf(error));
    return;
  }
  // The person may have gone in before answering the browser's question about devices.
  lobby.ready.then(() => {
    const hasLeft = conference.state === 'ended' && !(screen instanceof Lobby);
    return hasLeft ? media.closeAll() : conference.shareDevices();
  });
  enter(conference, conference.room.name || address.claims?.room || wish.room, wish);
}

function enter(conference, room, wish) {
  const meeting = new Meeting(conference, inviteLink(location, room, wish.isDirect));
  Object.assign(page, { conference, meeting });
  document.title = `${room} · ${config.name}`;
  if (!address.token) history.replaceState(undefined, '', inviteLink(location, room, wish.isDirect));
  conference.on('ended', (reason) => leave(conference, reason, room, wish));
  show(meeting);
}

function leave(conference, reason, room, wish) {
  document.title = config.name;
  const durationMs = Date.now() - conference.joinedAt;
  const element = farewell({ reason, durationMs, onRejoin: () => rejoin(room, wish), onHome: () => showLobby(room) });
  show(element);
  element.querySelector('h1').focus();
}

/** Straight back in, with the devices as the lobby would have them. */
async function rejoin(room, wish) {
  address.isDirect = wish.isDirect;
  showLobby(room);
  await screen.ready;
  await join(screen, { ...wish, room });
}

function sentenceOf(error) {
  if (error instanceof Refused) return error.message;
  const reason = endReasonOf(error);
  if (reason) {
    const { title, detail } = endingOf(reason);
    return [title, detail].filter(Boolean).join('. ');
  }
  if (!(error instanceof SignalRefused)) return 'Joining did not work. Please try again.';
  if (error.status === 401) return 'This invitation is not valid, or no longer is. Ask for a new link.';
  if (error.status === 404) return 'This room does not exist.';
  if (error.status === 503) return 'The meeting service is full at the moment. Please try again soon.';
  if (error.status === 0) return 'The meeting service cannot be reached. Check your network and try again.';
  return error.status >= 400 && error.message ? error.message : 'The meeting did not let you in. Please try again.';
}

window.addEventListener('pagehide', () => page.conference?.leave());
