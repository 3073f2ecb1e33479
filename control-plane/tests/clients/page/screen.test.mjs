// A shared screen takes the spotlight of the others, and is gone when sharing stops.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Person } from './person.mjs';
import { openPage } from './browser.mjs';
import { url } from '../lib/env.mjs';
import { uniqueRoom } from '../lib/room.mjs';
import { until } from '../lib/until.mjs';

// A headless browser has no screen to pick, so the picker's answer is a drawing that changes.
function drawInsteadOfPicker() {
  navigator.mediaDevices.getDisplayMedia = async () => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 1280, height: 720 });
    const context = canvas.getContext('2d');
    let step = 0;
    setInterval(() => {
      step += 1;
      context.fillStyle = `hsl(${step % 360} 60% 50%)`;
      context.fillRect(0, 0, 1280, 720);
      context.fillText(String(step), 100, 100);
    }, 100);
    return canvas.captureStream(10);
  };
}

test('a screen is seen by the others and stops', async () => {
  const room = uniqueRoom('page');
  const page = await openPage();
  await page.addInitScript(drawInsteadOfPicker);
  await page.goto(`${url}/?room=${room}`);
  const ada = new Person(page, 'Ada');
  await ada.enter();
  const ben = await Person.join(room, 'Ben');
  await ben.sees(ada);

  await ada.get('screen-button').click();
  await until('Ben sees the screen large', async () => (await ben.tile(ada, 'screen'))?.isLarge);
  await ben.sees(ada, 'SCREEN_SHARE');
  assert.equal((await ben.tile(ada, 'screen')).videoWidth, 1280);
  await ben.sees(ada, 'CAMERA');

  await ada.get('screen-button').click();
  await until('the screen is gone', async () => !(await ben.tile(ada, 'screen')));
  await ben.sees(ada, 'CAMERA');

  await ada.get('screen-button').click();
  await until('the screen is back', async () => (await ben.tile(ada, 'screen'))?.isLarge);
  await ben.sees(ada, 'SCREEN_SHARE');
  await Promise.all([ada.close(), ben.close()]);
});
