// Firefox, headless, with a fake camera and microphone and an empty profile, driven over WebDriver BiDi: of a page of
// Playwright, whose Firefox is a build of its own, as much as a person of the page's tests needs.

import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import WebSocket from 'ws';
import { until } from './until.mjs';

export const FIREFOX = process.env.PLENUM_TESTS_FIREFOX ?? '/usr/bin/firefox-esr';
const START_MS = 60_000;

const PREFERENCES = {
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  'media.autoplay.default': 0,
  'media.peerconnection.ice.obfuscate_host_addresses': false,
  'media.gmp-manager.updateEnabled': false,
  'app.update.enabled': false,
  'app.normandy.enabled': false,
  'browser.shell.checkDefaultBrowser': false,
  'browser.startup.homepage_override.mstone': 'ignore',
  'browser.tabs.warnOnClose': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'services.settings.server': 'data:,',
  'toolkit.telemetry.enabled': false,
};

// Resolves to { version, newPage, close }.
export async function launchFirefox() {
  const folder = await mkdtemp(join(tmpdir(), 'plenum-firefox-'));
  const lines = Object.entries(PREFERENCES).map(([name, value]) => `user_pref("${name}", ${JSON.stringify(value)});`);
  await writeFile(`${folder}/user.js`, lines.join('\n'));
  const child = spawn(FIREFOX, ['--headless', '--no-remote', '--remote-debugging-port=0', '--profile', folder], {
    env: { ...process.env, HOME: folder, MOZ_CRASHREPORTER_DISABLE: '1' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const exited = new Promise((resolve) => child.on('exit', resolve));
  try {
    const session = await Session.open(await address(child));
    const close = async () => {
      await session.command('browser.close', {});
      await exited;
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    };
    return { version: session.version, newPage: () => session.newPage(), close };
  } catch (error) {
    child.kill('SIGKILL');
    await exited;
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    throw error;
  }
}

function address(child) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`Firefox is not ready after ${START_MS / 1000} s`)), START_MS);
    child.on('error', reject);
    child.on('exit', (code) => reject(new Error(`Firefox ended with ${code}`)));
    createInterface({ input: child.stderr }).on('line', (line) => {
      const [, found] = line.match(/WebDriver BiDi listening on (ws:\S+)/) ?? [];
      if (!found) return;
      clearTimeout(timer);
      resolve(`${found}/session`);
    });
  });
}

// One connection to the browser. Reference: W3C webdriver-bidi.
class Session {
  #socket;
  #waiting = new Map();
  #pages = new Map();
  #id = 0;

  static async open(url) {
    const session = new Session();
    session.#socket = new WebSocket(url);
    await new Promise((resolve, reject) => session.#socket.on('open', resolve).on('error', reject));
    session.#socket.on('message', (text) => session.#on(JSON.parse(text)));
    session.#socket.on('close', () => session.#fail());
    const { capabilities } = await session.command('session.new', { capabilities: {} });
    session.version = capabilities.browserVersion;
    await session.command('session.subscribe', { events: ['log.entryAdded'] });
    return session;
  }

  command(method, params) {
    return new Promise((resolve, reject) => {
      this.#id += 1;
      this.#waiting.set(this.#id, { method, resolve, reject });
      this.#socket.send(JSON.stringify({ id: this.#id, method, params }));
    });
  }

  // A window of its own: what is in the background is slowed down.
  async newPage() {
    const { context } = await this.command('browsingContext.create', { type: 'window' });
    const page = new Page(this, context);
    this.#pages.set(context, page);
    return page;
  }

  #on({ id, type, method, params, result, error, message }) {
    if (method === 'log.entryAdded') this.#pages.get(params.source.context)?.heard(params);
    const waiting = this.#waiting.get(id);
    if (!waiting) return;
    this.#waiting.delete(id);
    if (type === 'success') waiting.resolve(result);
    else waiting.reject(new Error(`${waiting.method}: ${error}: ${message}`));
  }

  #fail() {
    for (const { method, resolve, reject } of this.#waiting.values()) {
      if (method === 'browser.close') resolve();
      else reject(new Error(`${method}: Firefox is gone`));
    }
    this.#waiting.clear();
  }
}

class Page {
  #session;
  #context;
  #listeners = { console: [], pageerror: [] };

  constructor(session, context) {
    this.#session = session;
    this.#context = context;
  }

  // "pageerror" and "console", of which the latter takes errors only.
  on(event, listener) {
    this.#listeners[event].push(listener);
  }

  heard({ type, level, text }) {
    if (level !== 'error') return;
    if (type === 'javascript') this.#listeners.pageerror.forEach((listener) => listener(new Error(text)));
    else this.#listeners.console.forEach((listener) => listener({ type: () => 'error', text: () => text }));
  }

  goto(url) {
    return this.#session.command('browsingContext.navigate', { context: this.#context, url, wait: 'complete' });
  }

  setViewportSize(viewport) {
    return this.#session.command('browsingContext.setViewport', { context: this.#context, viewport });
  }

  // As if the person had just pressed a key: what happens may play and capture.
  async evaluate(act, ...args) {
    const { type, result, exceptionDetails } = await this.#session.command('script.callFunction', {
      functionDeclaration: `async (args) => JSON.stringify(await (${act})(...JSON.parse(args)))`,
      arguments: [{ type: 'string', value: JSON.stringify(args) }],
      target: { context: this.#context },
      awaitPromise: true,
      userActivation: true,
    });
    if (type === 'exception') throw new Error(exceptionDetails.text);
    return result.type === 'undefined' ? undefined : JSON.parse(result.value);
  }

  getByTestId(id) {
    return this.locator(`[data-testid="${id}"]`);
  }

  locator(selector) {
    return new Locator(this, selector);
  }

  close() {
    return this.#session.command('browsingContext.close', { context: this.#context });
  }
}

class Locator {
  constructor(page, selector) {
    this.page = page;
    this.selector = selector;
  }

  count() {
    return this.page.evaluate((selector) => document.querySelectorAll(selector).length, this.selector);
  }

  isVisible() {
    return this.page.evaluate((selector) => Boolean(document.querySelector(selector)?.checkVisibility()), this.selector);
  }

  waitFor() {
    return until(`${this.selector} is visible`, () => this.isVisible());
  }

  async click() {
    await this.waitFor();
    await this.page.evaluate((selector) => document.querySelector(selector).click(), this.selector);
  }

  async fill(text) {
    await this.waitFor();
    await this.page.evaluate(
      (selector, text) => {
        const input = document.querySelector(selector);
        input.value = text;
        input.dispatchEvent(new Event('input', { bubbles: true }));
      },
      this.selector,
      text,
    );
  }

  async press(key) {
    await this.page.evaluate(
      (selector, key) => {
        const target = document.querySelector(selector);
        for (const type of ['keydown', 'keyup']) target.dispatchEvent(new KeyboardEvent(type, { key, bubbles: true, cancelable: true }));
      },
      this.selector,
      key,
    );
  }
}
