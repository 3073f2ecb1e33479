// What the tests of calls for two share.

import assert from 'node:assert/strict';
import { openPage } from './browser.mjs';
import { Person } from './person.mjs';
import { url } from '../lib/env.mjs';
import { uniqueRoom } from '../lib/room.mjs';
import { until } from '../lib/until.mjs';

export const DIRECT = '&direct';

// Nothing of one page's addresses reaches the other: neither trickled nor in a description.
export const dropCandidates = (page) => withCandidates(page, () => {});

// They come so many milliseconds late.
export const delayCandidates = (page, ms) => withCandidates(page, (send) => setTimeout(send, ms));

// What a page sends its server waits so many milliseconds; what kinds of message it sent are in the array.
export async function delayMessages(page, ms) {
  const kinds = [];
  await withMessages(page, (message, send) => {
    kinds.push(message.type);
    setTimeout(() => send(message), ms);
  });
  return kinds;
}

// The first answer of a page is lost; it is in the array once it is.
export async function loseAnswer(page) {
  const lost = [];
  await withMessages(page, (message, send) => {
    if (message.type === 'answer' && lost.length === 0) lost.push(message);
    else send(message);
  });
  return lost;
}

const withCandidates = (page, onCandidate) =>
  withMessages(page, (message, send) => {
    if (message.type === 'candidate') return onCandidate(() => send(message));
    if (message.sdp) message.sdp = message.sdp.replace(/^a=candidate:.*\r\n/gm, '');
    send(message);
  });

const withMessages = (page, onMessage) =>
  page.routeWebSocket(/\/direct\?/, (socket) => {
    const server = socket.connectToServer();
    const send = (message) => server.send(JSON.stringify(message));
    socket.onMessage((text) => onMessage(JSON.parse(text), send));
  });

// Two in a room of their own, after something was done to their pages.
export async function two(prepare) {
  const room = uniqueRoom('page');
  const people = [];
  for (const name of ['Ada', 'Ben']) {
    const page = await openPage();
    await prepare(page);
    await page.goto(`${url}/?room=${room}${DIRECT}`);
    people.push(new Person(page, name));
  }
  for (const person of people) await person.enter();
  return people;
}

export async function assertDirect(...people) {
  for (const person of people) {
    const { direct } = await until(`${person.name} has a way`, async () => {
      const state = await person.state();
      return state.direct.path && state;
    });
    assert.deepEqual(direct, { isDirect: true, path: 'host' });
  }
}

// Everyone decodes everyone else, who comes by the server.
export async function assertByServer(...people) {
  const pairs = people.flatMap((viewer) => people.filter((other) => other !== viewer).map((other) => [viewer, other]));
  const byServer = async ([viewer, other]) => {
    await until(`${viewer.name} has left the direct way`, async () => !(await viewer.state()).direct.isDirect);
    await viewer.sees(other);
  };
  await Promise.all(pairs.map(byServer));
}
