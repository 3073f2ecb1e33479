// What one person writes, everyone reads, once.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { together } from './person.mjs';
import { until } from '../lib/until.mjs';

async function write(person, text) {
  if (!(await person.get('chat-panel').isVisible())) await person.get('chat-button').click();
  await person.get('chat-input').fill(text);
  await person.get('chat-input').press('Enter');
}

const read = async (person) => (await person.state()).messages.map(({ message }) => message);

test('messages arrive in order, with their sender', async () => {
  await together(['Ada', 'Ben', 'Cleo'], async (ada, ben, cleo) => {
    await until('Ada sees both others', async () => (await ada.state()).participants.length === 2);
    await write(ada, 'Hello, everyone');
    await write(ada, 'Zażółć gęślą jaźń 👋 <b>not bold</b>');
    for (const reader of [ben, cleo]) {
      await until(`${reader.name} has both messages`, async () => (await read(reader)).length === 2);
    }
    await write(ben, 'Hello, Ada');
    await until('Ada has the answer', async () => (await read(ada)).length === 3);
    assert.deepEqual(await read(cleo), ['Hello, everyone', 'Zażółć gęślą jaźń 👋 <b>not bold</b>', 'Hello, Ada']);

    await cleo.get('chat-button').click();
    const shown = cleo.get('chat-messages');
    assert.match(await shown.innerText(), /Ada[\s\S]*Hello, everyone[\s\S]*<b>not bold<\/b>[\s\S]*Ben[\s\S]*Hello, Ada/);
  });
});
