// The connection check tells what works from here, what does not, and what is not offered.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openPage } from './browser.mjs';
import { url } from '../lib/env.mjs';
import { until } from '../lib/until.mjs';

const states = (page) =>
  page.locator('[data-way]').evaluateAll((rows) => Object.fromEntries(rows.map(({ dataset }) => [dataset.way, dataset.state])));

test('the check says what works and what is not offered', async () => {
  const page = await openPage();
  try {
    await page.goto(`${url}/check`);
    await until('the check is done', () => page.locator('[data-testid=again-button]:enabled').count());
    assert.deepEqual(await states(page), {
      signalling: 'works',
      udp: 'works',
      tcp: 'works',
      'turn-udp': 'absent',
      'turn-tcp': 'absent',
      'turn-tls': 'absent',
    });
    assert.equal(await page.getByTestId('verdict').textContent(), 'Everything that is offered works from here.');
  } finally {
    await page.close();
  }
});
