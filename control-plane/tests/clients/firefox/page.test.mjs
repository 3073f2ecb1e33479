// Firefox and Chromium in one room, on our own page.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launchBrowser } from '../lib/browser.mjs';
import { FIREFOX, launchFirefox } from '../lib/firefox.mjs';
import { startPlenum } from '../lib/plenum.mjs';
import { uniqueRoom } from '../lib/room.mjs';
import { until, untilStill } from '../lib/until.mjs';
import { Person } from '../page/person.mjs';

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));
const MEDIA = '10.99.0.1';

function obstacle() {
  if (!existsSync(FIREFOX)) return `${FIREFOX} is not installed`;
  const addresses = Object.values(networkInterfaces()).flat();
  return addresses.some(({ address }) => address === MEDIA) ? false : 'needs root, for a network namespace (./network)';
}

describe('Firefox and Chromium in one room', { skip: obstacle() }, () => {
  let plenum, firefox, chromium, fay, cy;

  async function enter(page, name, room) {
    const person = new Person(page, name);
    await page.goto(`${plenum.url}/?room=${room}`);
    await person.enter();
    return person;
  }

  before(async () => {
    [plenum, firefox, chromium] = await Promise.all([startPlenum(ROOT, { media: MEDIA }), launchFirefox(), launchBrowser()]);
    console.log(`Firefox ${firefox.version}, Chromium ${chromium.context.browser().version()}`);
    const room = uniqueRoom('firefox');
    fay = await enter(await firefox.newPage(), 'Fay', room);
    cy = await enter(await chromium.context.newPage(), 'Cy', room);
  });

  after(async () => {
    await Promise.allSettled([firefox?.close(), chromium?.close()]);
    const complaint = await plenum?.stop();
    assert.equal(complaint ?? null, null);
  });

  test('both see and hear each other', async () => {
    await Promise.all([fay.sees(cy), cy.sees(fay), fay.hears(cy), cy.hears(fay)]);
    for (const { name, faults } of [fay, cy]) assert.deepEqual(faults, [], `${name}’s page reports no fault`);
  });

  test('each sends three layers, and the other gets the one that its window needs', async () => {
    for (const [viewer, sender] of [[fay, cy], [cy, fay]]) {
      const isOf = (accept) => async () => accept((await viewer.received(sender, 'CAMERA')).width);
      await viewer.page.setViewportSize({ width: 1600, height: 1000 });
      await until(`${viewer.name} gets ${sender.name} large`, isOf((width) => width >= 1000));
      await viewer.page.setViewportSize({ width: 480, height: 400 });
      await until(`${viewer.name} gets ${sender.name} small`, isOf((width) => width < 400));
      await viewer.sees(sender);
      const layers = (await sender.sent('CAMERA')).filter(({ frames }) => frames > 0).map(({ layer }) => layer.split(' ')[0]);
      assert.deepEqual(layers.sort(), ['f', 'h', 'q'], `${sender.name} sent three layers`);
      await viewer.page.setViewportSize({ width: 1600, height: 1000 });
    }
  });

  test('messages arrive both ways', async () => {
    await fay.say('from Firefox');
    await until('Cy has the message', async () => (await cy.texts()).includes('from Firefox'));
    await cy.say('from Chromium');
    await until('Fay has the message', async () => (await fay.texts()).includes('from Chromium'));
  });

  test('a muted microphone and a camera that is off are so for the other, and come back', async () => {
    for (const [viewer, other] of [[fay, cy], [cy, fay]]) {
      await other.get('mic-button').click();
      await other.get('camera-button').click();
      await until(`${viewer.name} sees ${other.name} muted`, async () => (await viewer.tile(other))?.isMicMuted);
      await until(`${viewer.name} sees an avatar`, async () => (await viewer.tile(other))?.hasVideo === false);
      await Promise.all([
        viewer.hearsNothing(other),
        untilStill('pictures', async () => (await viewer.received(other, 'CAMERA')).frames),
      ]);
      await other.get('mic-button').click();
      await other.get('camera-button').click();
      await Promise.all([viewer.sees(other), viewer.hears(other)]);
    }
  });
});
