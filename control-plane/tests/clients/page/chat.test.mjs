// What one person writes, everyone reads, once.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { together } from './person.mjs';
import { until } from '../lib/until.mjs';

test('messages arrive in order, with their sender', async () => {
  await together(['Ada', 'Ben', 'Cleo'], async (ada, ben, cleo) => {
    await until('Ada sees both others', async () => (await ada.state()).participants.length === 2);
    await ada.say('Hello, everyone');
    await ada.say('Zażółć gęślą jaźń 👋 <b>not bold</b>');
    for (const reader of [ben, cleo]) {
      await until(`${reader.name} has both messages`, async () => (await reader.texts()).length === 2);
    }
    await ben.say('Hello, Ada');
    await until('Ada has the answer', async () => (await ada.texts()).length === 3);
    assert.deepEqual(await cleo.texts(), ['Hello, everyone', 'Zażółć gęślą jaźń 👋 <b>not bold</b>', 'Hello, Ada']);

    await cleo.get('chat-button').click();
    const shown = cleo.get('chat-messages');
    assert.match(await shown.innerText(), /Ada[\s\S]*Hello, everyone[\s\S]*<b>not bold<\/b>[\s\S]*Ben[\s\S]*Hello, Ada/);
  });
});

test('what is written while everything is joined anew is said then', async () => {
  await together(['Ada', 'Ben'], async (ada, ben) => {
    await until('Ada sees Ben', async () => (await ada.state()).participants.length === 1);
    await ada.say('before');
    await until('Ben has the message', async () => (await ben.texts()).length === 1);
    await ada.simulate('full-reconnect');
    await ada.say('meanwhile');
    await until('Ada is there anew', async () => (await ada.state()).recoveries.rejoins === 1);
    await ada.say('after');
    await until('Ben has all', async () => (await ben.texts()).length === 3);
    assert.deepEqual(await ben.texts(), ['before', 'meanwhile', 'after']);
  });
});
