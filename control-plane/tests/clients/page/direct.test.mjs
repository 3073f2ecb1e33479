// A call for two whose media goes straight between the pages.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openPage } from './browser.mjs';
import { DIRECT, assertDirect, delayCandidates, delayMessages, loseAnswer, two } from './direct.mjs';
import { Person, together } from './person.mjs';
import { url } from '../lib/env.mjs';
import { packets } from '../lib/metrics.mjs';
import { uniqueRoom } from '../lib/room.mjs';
import { until, untilStill } from '../lib/until.mjs';

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

    await ada.say('Hello');
    await until('Ben has the message', async () => (await ben.texts()).includes('Hello'));
    await until('Ada speaks, as Ben sees', async () => (await ben.state()).participants[0].isSpeaking);

    await ben.get('mic-button').click();
    await until('Ada sees Ben muted', async () => (await ada.tile(ben))?.isMicMuted);
    await ada.hearsNothing(ben);
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

test('two whose way takes longer than their offers see and hear each other', async () => {
  const [ada, ben] = await two((page) => delayCandidates(page, 2500));
  await until('Ada knows of Ben', async () => (await ada.state()).participants.length === 1);
  await ada.say('before there is a way');
  await assertDirect(ada, ben);
  await until('Ben has the message', async () => (await ben.texts()).length === 1);
  for (const [viewer, other] of [[ada, ben], [ben, ada]]) {
    await viewer.sees(other);
    await viewer.hears(other);
  }
  await Promise.all([ada, ben].map((person) => person.close()));
});

test('who was there first makes the first offer, however long it takes', async () => {
  const sent = [];
  const [ada, ben] = await two(async (page) => sent.push(await delayMessages(page, 700)));
  for (const [viewer, other] of [[ada, ben], [ben, ada]]) {
    await viewer.sees(other);
    await viewer.hears(other);
  }
  const firstOfBen = sent[1].find((kind) => kind === 'offer' || kind === 'answer');
  assert.equal(firstOfBen, 'answer', 'an offer of Ben would have to be taken back');
  await Promise.all([ada, ben].map((person) => person.close()));
});

test('answers that are lost with their WebSockets are asked for again', async () => {
  const lost = [];
  const [ada, ben] = await two(async (page) => lost.push(await loseAnswer(page)));
  for (const person of [ben, ada]) {
    await until(`an answer of ${person.name} is lost`, () => lost[person === ada ? 0 : 1].length > 0);
    await person.simulate('signal-drop');
  }
  await assertDirect(ada, ben);
  await ada.sees(ben);
  await ben.sees(ada);
  await Promise.all([ada, ben].map((person) => person.close()));
});

test('an offer behind an answer that takes long is not lost', async () => {
  const [ada, ben] = await two((page) =>
    page.addInitScript(() => {
      const { setRemoteDescription } = RTCPeerConnection.prototype;
      RTCPeerConnection.prototype.setRemoteDescription = async function (description) {
        if (description.type === 'answer') await new Promise((resolve) => setTimeout(resolve, 500));
        return setRemoteDescription.call(this, description);
      };
    }),
  );
  await ada.sees(ben);
  await ben.sees(ada);
  await Promise.all([ada, ben].map((person) => person.close()));
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
