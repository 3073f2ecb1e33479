// What becomes of a call for two when a third joins or there is no way between the pages.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DIRECT, assertByServer, assertDirect, dropCandidates, two } from './direct.mjs';
import { Person, together } from './person.mjs';
import { until } from '../lib/until.mjs';

test('when a third joins all three see each other, within 3 s and without a new page', async () => {
  await together(['Ada', 'Ben'], async (ada, ben) => {
    await assertDirect(ada, ben);
    await ada.say('before');
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
    assert.deepEqual(await ben.texts(), ['before']);
    await until('each has three tiles', async () => (await ada.state()).tiles.length === 3);
    await until('nothing direct is left', async () => (await ada.state()).received.length === 4);
    assert.equal(await ada.get('direct').isVisible(), false);
    await cleo.close();
  }, DIRECT);
});

test('where no way is found they meet by the server', async () => {
  const people = await two(dropCandidates);
  const [ada, ben] = people;
  await until('Ada knows of Ben', async () => (await ada.state()).participants.length === 1);
  await ada.say('before there is a way');
  await assertByServer(...people);
  await until('Ben has the message', async () => (await ben.texts()).length === 1);
  await ada.say('by the server');
  await until('Ben has both', async () => (await ben.texts()).length === 2);
  await Promise.all(people.map((person) => person.close()));
});
