// Owns one participant of a test: a page that joins through the lobby, and questions to it.

import { openPage } from './browser.mjs';
import { url } from '../lib/env.mjs';
import { uniqueRoom } from '../lib/room.mjs';
import { until, untilStill } from '../lib/until.mjs';

const FORGIVEN = /favicon/;

export class Person {
  // Console errors and uncaught exceptions of the page.
  faults = [];

  constructor(page, name) {
    this.page = page;
    this.name = name;
    page.on('pageerror', (error) => this.faults.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error' && !FORGIVEN.test(message.text())) this.faults.push(message.text());
    });
  }

  // Opens the page and joins `room` under `name`, camera and microphone on. `query` is more of the address.
  static async join(room, name, query = '') {
    const person = new Person(await openPage(), name);
    person.room = room;
    await person.page.goto(`${url}/?room=${encodeURIComponent(room)}${query}`);
    await person.enter();
    return person;
  }

  // From the lobby into the meeting.
  async enter() {
    await this.get('name-input').fill(this.name).catch((error) => {
      // What the page itself met says more than that it does not come up.
      throw new Error(`${error.message}; the page's faults: ${JSON.stringify(this.faults)}`);
    });
    await until('preview is on', () => this.page.locator('[data-testid=preview][data-camera=on]').count());
    await this.get('join-button').click();
    await this.get('meeting').waitFor();
    await until(`${this.name} is connected`, async () => (await this.state()).connection === 'connected');
  }

  get(testid) {
    return this.page.getByTestId(testid);
  }

  state() {
    return this.page.evaluate(() => window.plenum.state());
  }

  simulate(kind) {
    return this.page.evaluate((what) => window.plenum.simulate(what), kind);
  }

  // The row of the connection details for what `other` sends us from `source`.
  async received(other, source) {
    const rows = await this.page.evaluate(() => window.plenum.stats());
    return rows.find((row) => row.direction === 'receive' && row.name === other.name && row.source === source);
  }

  async sent(source) {
    const rows = await this.page.evaluate(() => window.plenum.stats());
    return rows.filter((row) => row.direction === 'send' && row.source === source);
  }

  async tile(other, kind = 'camera') {
    const { tiles, participants } = await this.state();
    const identity = participants.find(({ name }) => name === other.name)?.identity;
    return tiles.find((tile) => tile.identity === identity && tile.kind === kind);
  }

  // The tile's element, for clicks.
  async tileElement(other, kind = 'camera') {
    const tile = await until(`${this.name} has a tile of ${other.name}`, () => this.tile(other, kind));
    return this.page.locator(`[data-testid=tile][data-identity="${tile.identity}"][data-kind=${kind}]`);
  }

  // With `isLarge` false the pin is taken away.
  async pin(other, isLarge = true) {
    const element = await this.tileElement(other);
    // By the keyboard: a panel may lie over the tile.
    await element.getByTestId('pin-button').press('Enter');
    await until(`${other.name} is large: ${isLarge}`, async () => (await this.tile(other)).isLarge === isLarge);
  }

  sees(other, source = 'CAMERA', deadlineMs) {
    return untilGrows(`frames ${this.name} decodes of ${other.name}`, async () => (await this.received(other, source))?.frames, deadlineMs);
  }

  hears(other, deadlineMs) {
    return untilGrows(`sound ${this.name} gets of ${other.name}`, () => this.heard(other), deadlineMs);
  }

  hearsNothing(other) {
    return untilStill(`${this.name} hears nothing of ${other.name}`, () => this.heard(other));
  }

  // Energy of sound so far, in steps too large for silence: a decoder may go on with samples of 1 there, 1e-9 a second.
  async heard(other) {
    const row = await this.received(other, 'MICROPHONE');
    return row && Math.round(row.audioEnergy * 1e4);
  }

  async say(text) {
    if (!(await this.get('chat-panel').isVisible())) await this.get('chat-button').click();
    await this.get('chat-input').fill(text);
    await this.get('chat-input').press('Enter');
  }

  async texts() {
    return (await this.state()).messages.map(({ message }) => message);
  }

  close() {
    return this.page.close();
  }
}

// Waits until `probe` gives a number, then until it gives a greater one.
async function untilGrows(what, probe, deadlineMs) {
  let first;
  return until(`${what} grows`, async () => {
    const value = await probe();
    if (!Number.isFinite(value)) return false;
    first ??= value;
    return value > first;
  }, deadlineMs);
}

// Runs `body` with people in a fresh room; they are gone afterwards.
export async function together(names, body, query) {
  const room = uniqueRoom('page');
  const people = [];
  try {
    for (const name of names) people.push(await Person.join(room, name, query));
    await body(...people);
  } finally {
    await Promise.allSettled(people.map((person) => person.close()));
  }
}
