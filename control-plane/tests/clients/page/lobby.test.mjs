// The ways in: without devices, with a token, and being told why not.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openPage } from './browser.mjs';
import { Person } from './person.mjs';
import { url } from '../lib/env.mjs';
import { uniqueRoom } from '../lib/room.mjs';
import { until } from '../lib/until.mjs';

test('one can join without camera and microphone', async () => {
  const page = await openPage();
  await page.addInitScript(() => {
    navigator.mediaDevices.getUserMedia = async () => {
      throw new DOMException('denied', 'NotAllowedError');
    };
  });
  await page.goto(`${url}/?room=${uniqueRoom('page')}`);
  const ada = new Person(page, 'Ada');
  await until('the lobby says so', async () => (await ada.get('preview').innerText()).includes('blocked'));
  await ada.get('name-input').fill('Ada');
  await ada.get('join-button').click();
  await ada.get('meeting').waitFor();
  const { publications, tiles } = await ada.state();
  assert.deepEqual(publications, []);
  assert.equal(tiles.length, 1);
  await ada.get('solo').waitFor();
});

test('a token in the fragment names room and person', async () => {
  const room = uniqueRoom('page');
  const answer = await fetch(`${url}/web/join`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ room, name: 'Ada' }),
  });
  assert.equal(answer.status, 200);
  const { token } = await answer.json();
  const ada = new Person(await openPage(), 'Ada');
  await ada.page.goto(`${url}/#token=${token}`);
  await ada.get('join-button').waitFor();
  assert.equal(await ada.get('room-input').count(), 0, 'no room to choose');
  await ada.get('join-button').click();
  await ada.get('meeting').waitFor();
  const state = await ada.state();
  assert.equal(state.room, room);
  assert.equal(state.me.name, 'Ada');
});

test('a token that is not valid is explained', async () => {
  const ada = new Person(await openPage(), 'Ada');
  await ada.page.goto(`${url}/#token=not.a.token`);
  await ada.get('join-button').click();
  await until('the reason is shown', async () => /not valid/.test(await ada.get('lobby-problem').innerText()));
});

test('where guests are refused, the page says what is needed', async () => {
  const page = await openPage();
  await page.route('**/web/join', (route) => route.fulfill({ status: 403, json: { error: 'guest access is off' } }));
  await page.goto(url);
  const ada = new Person(page, 'Ada');
  await ada.get('name-input').fill('Ada');
  assert.match(await ada.get('room-input').inputValue(), /^[a-z]+-[a-z]+-\d{4}$/, 'a room name is offered');
  await ada.get('join-button').click();
  await until('the reason is shown', async () => /invitation link/.test(await ada.get('lobby-problem').innerText()));
});
