// Three people on the built-in page see and hear each other.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { together } from './person.mjs';
import { until } from '../lib/until.mjs';

test('three people decode each other', async () => {
  await together(['Ada', 'Ben', 'Cleo'], async (...people) => {
    for (const viewer of people) {
      for (const other of people.filter((person) => person !== viewer)) {
        await viewer.sees(other);
        await viewer.hears(other);
      }
      await until(`${viewer.name} has three tiles`, async () => (await viewer.state()).tiles.length === 3);
    }
    const shown = await people[0].tile(people[1]);
    assert.ok(shown.hasVideo && shown.videoWidth > 0, 'the picture is on screen');
    for (const { name, faults } of people) assert.deepEqual(faults, [], `${name}’s page reports no fault`);
  });
});

test('the connection details list what is sent and received', async () => {
  await together(['Ada', 'Ben'], async (ada, ben) => {
    await ada.sees(ben);
    await ada.page.keyboard.press('i');
    const overlay = ada.get('stats-overlay');
    await until('a row for Ben’s camera', async () => /Ben, camera\s*vp8/i.test(await overlay.innerText()));
    const layers = await ada.sent('CAMERA');
    assert.deepEqual(layers.map(({ layer }) => layer.split(' ')[0]).sort(), ['f', 'h', 'q']);
  });
});
