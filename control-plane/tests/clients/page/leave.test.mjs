// Leaving takes the tile away for the others, whether by the button or by closing the page.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { together } from './person.mjs';
import { until } from '../lib/until.mjs';

test('who leaves is gone, and can come back', async () => {
  await together(['Ada', 'Ben'], async (ada, ben) => {
    await ada.sees(ben);
    await ben.get('leave-button').click();
    assert.equal(await ben.get('leave-screen').getAttribute('data-reason'), 'CLIENT_INITIATED');
    await until('Ben’s tile is gone', async () => (await ada.state()).tiles.length === 1);
    await until('Ben’s media is gone', async () => (await ada.state()).received.length === 0);

    await ben.get('rejoin-button').click();
    await ada.sees(ben);
    assert.equal((await ada.state()).tiles.length, 2);
  });
});

test('closing the page is leaving', async () => {
  await together(['Ada', 'Ben'], async (ada, ben) => {
    await ada.sees(ben);
    await ben.page.close({ runBeforeUnload: true });
    await until('Ben’s tile is gone', async () => (await ada.state()).tiles.length === 1);
  });
});
