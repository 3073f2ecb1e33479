// A call for two whose media goes straight between the pages, and what becomes of it when a third joins or the way
// between them fails.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openPage } from './browser.mjs';
import { Person, together } from './person.mjs';
import { url } from '../lib/env.mjs';
import { packets } from '../lib/metrics.mjs';
import { uniqueRoom } from '../lib/room.mjs';
import { until, untilStill } from '../lib/until.mjs';

const DIRECT = '&direct';

// Nothing of one page's addresses reaches the other: neither trickled nor in a description.
async function dropCandidates(page) {
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

async function assertDirect(...people) {
  for (const person of people) {
    const { direct } = await until(`${person.name} has a way`, async () => {
      const state = await person.state();
      return state.direct.path && state;
    });
    assert.deepEqual(direct, { isDirect: true, path: 'host' });
  }
}

// Everyone decodes everyone else, who comes by the server.
async function assertByServer(...people) {
  const pairs = people.flatMap((viewer) => people.filter((other) => other !== viewer).map((other) => [viewer, other]));
  const byServer = async ([viewer, other]) => {
    await until(`${viewer.name} has left the direct way`, async () => !(await viewer.state()).direct.isDirect);
    await viewer.sees(other);
  };
  await Promise.all(pairs.map(byServer));
}

async function say(person, text) {
  if (!(await person.get('chat-panel').isVisible())) await person.get('chat-button').click();
  await person.get('chat-input').fill(text);
  await person.get('chat-input').press('Enter');
}

const texts = async (person) => (await person.state()).messages.map(({ message }) => message);

test('two see and hear each other, and no packet comes to us', async () => {
  await untilStill('packets of earlier calls', packets, 1500, 45_000);
  const before = await packets();
  await together(['Ada', 'Ben'], async (ada, ben) => {
    await assertDirect(ada, ben);
    for (const [viewer, other] of [[ada, ben], [ben, ada]]) {
      await viewer.sees(other);
      await viewer.hears(other);
    }
    assert.equal(await ada.get('direct').innerText(), 'Direct · host');
    assert.equal((await ada.sent('CAMERA')).length, 1, 'one encoding for the one who watches');

    await say(ada, 'Hello');
    await until('Ben has the message', async () => (await texts(ben)).includes('Hello'));
    await until('Ada speaks, as Ben sees', async () => (await ben.state()).participants[0].isSpeaking);

    await ben.get('mic-button').click();
    await until('Ada sees Ben muted', async () => (await ada.tile(ben))?.isMicMuted);
    await untilStill('sound Ada gets of Ben', async () => (await ada.received(ben, 'MICROPHONE')).audioEnergy);
    await ben.get('mic-button').click();
    await ada.hears(ben);
    await ben.get('camera-button').click();
    await until('Ada sees an avatar', async () => (await ada.tile(ben))?.hasVideo === false);
    await ben.get('camera-button').click();
    await ada.sees(ben);
    assert.equal((await packets()) - before, 0, 'packets that came to us or went from us');
    for (const { name, faults } of [ada, ben]) assert.deepEqual(faults, [], `${name}’s page reports no fault`);
  }, DIRECT);
});

test('a screen is shared directly', async () => {
  await together(['Ada', 'Ben'], async (ada, ben) => {
    await ada.sees(ben);
    await ada.page.evaluate(() => {
      const canvas = Object.assign(document.createElement('canvas'), { width: 640, height: 360 });
      const context = canvas.getContext('2d');
      setInterval(() => context.fillRect(Math.random() * 600, Math.random() * 300, 40, 40), 100);
      navigator.mediaDevices.getDisplayMedia = async () => canvas.captureStream(10);
    });
    await ada.get('screen-button').click();
    await ben.sees(ada, 'SCREEN_SHARE');
    await ben.sees(ada, 'CAMERA');
    await ada.get('screen-button').click();
    await until('the screen is gone', async () => !(await ben.tile(ada, 'screen')));
    await ben.sees(ada, 'CAMERA');
  }, DIRECT);
});

test('when a third joins all three see each other, within 3 s and without a new page', async () => {
  await together(['Ada', 'Ben'], async (ada, ben) => {
    await assertDirect(ada, ben);
    await say(ada, 'before');
    for (const person of [ada, ben]) {
      await person.sees(person === ada ? ben : ada);
      await person.page.evaluate(() => (window.isSamePage = true));
    }
    const sids = [(await ada.state()).me.sid, (await ben.state()).me.sid];
    const cleo = await Person.join(ada.room, 'Cleo');
    const joined = Date.now();
    await assertByServer(ada, ben, cleo);
    const took = Date.now() - joined;
    console.log(`all three see each other ${took} ms after the third is in`);
    assert.ok(took < 3000, `it took ${took} ms`);
    for (const person of [ada, ben]) assert.ok(await person.page.evaluate(() => window.isSamePage));
    assert.deepEqual([(await ada.state()).me.sid, (await ben.state()).me.sid], sids, 'they are who they were');
    assert.deepEqual(await texts(ben), ['before']);
    await until('each has three tiles', async () => (await ada.state()).tiles.length === 3);
    await until('nothing direct is left', async () => (await ada.state()).received.length === 4);
    assert.equal(await ada.get('direct').isVisible(), false);
    await cleo.close();
  }, DIRECT);
});

test('where no way is found they meet by the server', async () => {
  const room = uniqueRoom('page');
  const people = [];
  for (const name of ['Ada', 'Ben']) {
    const page = await openPage();
    await dropCandidates(page);
    await page.goto(`${url}/?room=${room}${DIRECT}`);
    people.push(new Person(page, name));
  }
  for (const person of people) await person.enter();
  await assertByServer(...people);
  await Promise.all(people.map((person) => person.close()));
});

test('one leaves, and the next one is met directly', async () => {
  await together(['Ada', 'Ben'], async (ada, ben) => {
    await ada.sees(ben);
    await ben.get('leave-button').click();
    await until('Ben’s tile is gone', async () => (await ada.state()).tiles.length === 1);
    const cleo = await Person.join(ada.room, 'Cleo', DIRECT);
    await assertDirect(ada, cleo);
    await ada.sees(cleo);
    await cleo.sees(ada);
    await cleo.close();
  }, DIRECT);
});

test('a lost WebSocket does not touch the media, nor does an ICE restart', async () => {
  await together(['Ada', 'Ben'], async (ada, ben) => {
    await ada.sees(ben);
    const { sid } = (await ada.state()).me;
    await ada.simulate('signal-drop');
    await until('Ada has resumed', async () => (await ada.state()).recoveries.resumes === 1);
    await ada.sees(ben);
    assert.equal((await ada.state()).me.sid, sid);
    for (const person of [ada, ben]) await person.simulate('direct-restart');
    await ada.sees(ben);
    await ben.sees(ada);
    await assertDirect(ada, ben);
  }, DIRECT);
});

test('the lobby offers it, and the invitation carries it', async () => {
  const ada = new Person(await openPage(), 'Ada');
  await ada.page.goto(`${url}/?room=${uniqueRoom('page')}`);
  await ada.page.getByText('Direct call for two').click();
  await ada.enter();
  assert.equal((await ada.state()).direct.isDirect, true);
  assert.match(ada.page.url(), /[?&]direct$/);
  assert.equal(await ada.get('direct').innerText(), 'Direct');
  await ada.close();
});
