// Owns the panel that says why a picture looks as it does: whose side it is on, what was asked, granted and flows,
// both links, and the last decisions. Asks again every second while it is open.

import { h, setAttribute, setText } from './dom.js';
import { bars, icon } from './icons.js';
import { sentenceOf, sideOf } from '../rtc/explain.js';

const EVERY_MS = 1000;
const LEVELS = { LOST: 0, POOR: 1, GOOD: 2, EXCELLENT: 3 };

export class WhyPanel {
  element;
  #conference;
  #title = h('h2', {});
  #body = h('div', { class: 'why-body', data: { testid: 'why-body' } });
  #close = h('button', { class: 'icon-button small', type: 'button', 'aria-label': 'Close', onclick: () => this.close(), data: { testid: 'why-close' } }, icon('close'));
  #sid = '';
  #timer;
  #isBusy = false;
  #opener;

  constructor(conference) {
    this.#conference = conference;
    this.element = h('section', { class: 'stats why', hidden: true, data: { testid: 'why-panel' } }, h('header', {}, this.#title, this.#close), this.#body);
  }

  get isOpen() {
    return !this.element.hidden;
  }

  /** `view` is a tile's description. */
  open({ trackSid, label }) {
    if (this.isOpen && this.#sid === trackSid) return this.close();
    this.#opener = document.activeElement;
    this.#sid = trackSid;
    setText(this.#title, label);
    setAttribute(this.element, 'aria-label', `Why ${label} looks like this`);
    this.#body.replaceChildren(h('p', { class: 'why-text' }, 'Asking …'));
    this.element.hidden = false;
    this.#close.focus();
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#refresh(), EVERY_MS);
    return this.#refresh();
  }

  close() {
    clearInterval(this.#timer);
    if (this.element.contains(document.activeElement)) this.#opener?.focus();
    this.element.hidden = true;
  }

  async #refresh() {
    if (this.#isBusy) return;
    this.#isBusy = true;
    const sid = this.#sid;
    const answer = await this.#conference.connection.explain?.();
    this.#isBusy = false;
    if (!this.isOpen || sid !== this.#sid) return;
    const subscription = answer?.subscriptions.find(({ track }) => track === sid);
    this.#body.replaceChildren(...(subscription ? contentOf(answer, subscription) : [h('p', { class: 'why-text' }, answer ? 'It is not sent to you.' : 'The meeting service does not answer.')]));
  }
}

function contentOf({ link, estimate, cap, wanted }, { asked, is_pinned: isPinned, granted, flowing, published, findings, uplink, missing_percent: missing, history }) {
  const sent = published.filter((step) => step.is_sent);
  return [
    verdict(findings),
    h(
      'dl',
      { class: 'why-steps' },
      step('Sent by them', sent.at(-1)?.step ?? 'nothing', 'published'),
      step(isPinned ? 'Pinned by you' : 'Asked by you', asked, 'asked'),
      step('Granted', granted, 'granted'),
      step('Flowing', flowing, 'flowing'),
    ),
    h(
      'ul',
      { class: 'why-links' },
      linkRow('Their upload', uplink, missing > 0 && `${missing.toFixed(1)} % missing for good`),
      linkRow('Your download', link, estimate > 0 && `carries ${kbit(estimate)}, ${kbit(wanted)} wanted`, cap > 0 && `limited to ${kbit(cap)}`),
    ),
    history.length > 0 && h('h3', {}, 'Last decisions'),
    history.length > 0 && h('ol', { class: 'why-history', tabIndex: 0 }, history.map(decisionRow)),
  ].filter(Boolean);
}

function verdict(findings) {
  const [first, ...others] = findings.length > 0 ? findings : [{ side: 'NOBODY', reason: 'SERVED_IN_FULL' }];
  const more = others.map(({ reason }) => h('p', { class: 'why-more' }, sentenceOf(reason)));
  return h(
    'div',
    { class: 'why-verdict', data: { testid: 'why-verdict', side: first.side, reason: first.reason } },
    h('b', { class: 'why-side' }, sideOf(first.side)),
    h('p', { class: 'why-text' }, sentenceOf(first.reason)),
    more,
  );
}

function step(label, text, testid) {
  const [size, ...rest] = text.split(', ');
  return h('div', { data: { testid: `why-${testid}` } }, h('dt', {}, label), h('dd', {}, h('b', {}, size.replace('x', '×')), h('span', {}, rest.join(' · '))));
}

function linkRow(label, link, ...more) {
  if (!link) return h('li', {}, h('b', {}, label), h('span', {}, 'not known'));
  const picture = bars();
  picture.dataset.level = LEVELS[link.quality] ?? 3;
  const parts = [
    `${link.quality.toLowerCase()} (${link.score.toFixed(1)} of 4.5)`,
    `${link.loss_percent.toFixed(1)} % lost`,
    link.round_trip_ms !== null && `${link.round_trip_ms} ms there and back`,
    ...more,
  ];
  return h('li', {}, picture, h('b', {}, label), h('span', {}, parts.filter(Boolean).join(' · ')));
}

function decisionRow({ ago_ms: ago, from, to, reason }) {
  return h('li', {}, h('time', {}, since(ago)), h('b', {}, `${short(from)} → ${short(to)}`), h('span', {}, sentenceOf(reason)));
}

const short = (step) => step.split(', ').slice(0, 2).join(' · ').replace('x', '×');

function since(ms) {
  const seconds = Math.round(ms / 1000);
  return seconds < 100 ? `${seconds} s ago` : `${Math.round(seconds / 60)} min ago`;
}

const kbit = (bits) => (bits < 1e6 ? `${Math.round(bits / 1000)} kbit/s` : `${(bits / 1e6).toFixed(1)} Mbit/s`);
