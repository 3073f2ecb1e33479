// A broken connection mends itself: same people, same tiles, media goes on.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { together } from './person.mjs';
import { until } from '../lib/until.mjs';

// Breaks a person's connection and waits until it is mended, by one more of `recovery`.
async function interrupt(person, kind, recovery) {
  const before = (await person.state()).recoveries;
  await person.simulate(kind);
  const after = await until('the connection is mended', async () => {
    const { connection, recoveries } = await person.state();
    return connection === 'connected' && recoveries[recovery] > before[recovery] && recoveries;
  }, 40_000);
  assert.deepEqual(after, { ...before, [recovery]: before[recovery] + 1 });
}

async function assertWhole(ada, ben) {
  await ada.sees(ben);
  await ada.hears(ben);
  await ben.sees(ada);
  await ben.hears(ada);
  for (const person of [ada, ben]) {
    const { tiles, participants } = await person.state();
    assert.equal(tiles.length, 2, `${person.name} has one tile for each`);
    assert.equal(participants.length, 1, `${person.name} knows one other`);
  }
}

test('a lost WebSocket is resumed', async () => {
  await together(['Ada', 'Ben'], async (ada, ben) => {
    await assertWhole(ada, ben);
    const before = await ada.state();
    await interrupt(ada, 'signal-drop', 'resumes');
    await assertWhole(ada, ben);
    const after = await ada.state();
    assert.equal(after.me.sid, before.me.sid, 'it is the same session');
    assert.deepEqual(after.publications, before.publications, 'and the same publications');
    await ada.get('mic-button').click();
    await until('requests work again', async () => (await ben.tile(ada))?.isMicMuted);
  });
});

test('failed transports are restarted', async () => {
  await together(['Ada', 'Ben'], async (ada, ben) => {
    await assertWhole(ada, ben);
    await interrupt(ada, 'publisher-failed', 'resumes');
    await assertWhole(ada, ben);
  });
});

test('a full reconnect leaves no second tile', async () => {
  await together(['Ada', 'Ben'], async (ada, ben) => {
    await assertWhole(ada, ben);
    const before = await ada.state();
    await interrupt(ada, 'full-reconnect', 'rejoins');
    await assertWhole(ada, ben);
    assert.notEqual((await ada.state()).me.sid, before.me.sid, 'it is a new session');
  });
});
