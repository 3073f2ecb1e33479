// What the tests of calls for two share.

import assert from 'node:assert/strict';
import { until } from '../lib/until.mjs';

export const DIRECT = '&direct';

// Nothing of one page's addresses reaches the other: neither trickled nor in a description.
export async function dropCandidates(page) {
  await page.routeWebSocket(/\/direct\?/, (socket) => {
    const server = socket.connectToServer();
    socket.onMessage((text) => {
      const message = JSON.parse(text);
      if (message.type === 'candidate') return;
      if (message.sdp) message.sdp = message.sdp.replace(/^a=candidate:.*\r\n/gm, '');
      server.send(JSON.stringify(message));
    });
  });
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

export async function say(person, text) {
  if (!(await person.get('chat-panel').isVisible())) await person.get('chat-button').click();
  await person.get('chat-input').fill(text);
  await person.get('chat-input').press('Enter');
}

export const texts = async (person) => (await person.state()).messages.map(({ message }) => message);
