// Owns the page that tells which ways to a call work from this browser: the list, its order, and what
// it means together. How one way is tried is in rtc/probe.js.

import { guestToken, readAddress } from './rtc/admission.js';
import { WAYS, tryWay } from './rtc/probe.js';
import { SignalRefused } from './rtc/signal.js';
import { h, setText } from './ui/dom.js';
import { mark } from './ui/icons.js';

const STATES = { waiting: '…', works: 'works', fails: 'does not work', absent: 'not offered' };

const verdict = h('p', { class: 'verdict', role: 'status', data: { testid: 'verdict' } });
const again = h('button', { class: 'primary', type: 'button', disabled: true, onclick: run, data: { testid: 'again-button' } }, 'Check again');
const rows = new Map([['signalling', row('Signalling')], ...WAYS.map(({ id, name }) => [id, row(name)])]);
for (const [id, element] of rows) element.dataset.way = id;

document.getElementById('app').append(
  h(
    'main',
    { class: 'check' },
    mark(),
    h('h1', {}, 'Connection check'),
    h('p', { class: 'lede' }, 'Tries each way in which this browser can reach a call, one after the other.'),
    h('ul', {}, ...rows.values()),
    verdict,
    again,
  ),
);
run();

async function run() {
  again.disabled = true;
  setText(verdict, 'Checking …');
  for (const id of rows.keys()) show(id, 'waiting', '');
  try {
    await check();
  } catch (error) {
    show('signalling', 'fails', sentenceOf(error));
    for (const { id } of WAYS) show(id, 'absent', 'not known without signalling');
    setText(verdict, 'Calls do not work from here: the service cannot be joined.');
  }
  again.disabled = false;
}

async function check() {
  const token = await admission();
  const outcomes = [];
  for (const way of WAYS) {
    const outcome = await tryWay(way, token);
    // Whoever got an answer has been through signalling.
    show('signalling', 'works', `${outcome.signalMs} ms`);
    show(way.id, outcome.state, outcome.detail);
    outcomes.push(outcome.state);
  }
  setText(verdict, verdictOf(outcomes));
}

/** The token of the address, or a guest's for a room that nobody else is in. */
function admission() {
  const { token } = readAddress(location);
  return token || guestToken(`check-${crypto.getRandomValues(new Uint32Array(2)).join('-')}`, 'Check');
}

function verdictOf(outcomes) {
  if (!outcomes.includes('works')) return 'Calls do not work from here: no way to the media is open.';
  if (outcomes.includes('fails')) return 'Calls work from here, though not by every way.';
  return 'Everything that is offered works from here.';
}

function row(name) {
  return h('li', {}, h('div', {}, name), h('b', {}), h('span', {}));
}

function show(id, state, detail) {
  const element = rows.get(id);
  element.dataset.state = state;
  setText(element.querySelector('b'), STATES[state]);
  setText(element.querySelector('span'), detail);
}

function sentenceOf(error) {
  if (!(error instanceof SignalRefused)) return error.message;
  return error.status ? `refused with ${error.status}: ${error.message}` : 'no answer';
}
