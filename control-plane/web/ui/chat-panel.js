// Owns the chat as seen: messages grouped by sender, links made clickable, the field to write in.

import { h } from './dom.js';
import { icon } from './icons.js';
import { MAX_CHARACTERS } from '../rtc/chat.js';

const GROUP_MS = 2 * 60 * 1000;
const LINK = /https?:\/\/[^\s<>"']+[^\s<>"'.,;:!?)\]]/g;
const clock = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' });

export class ChatPanel {
  element;
  #conference;
  #list = h('ol', { class: 'messages', 'aria-label': 'Messages', data: { testid: 'chat-messages' } });
  #empty = h('p', { class: 'panel-empty' }, 'Messages are seen by everyone in the meeting, and are gone when it ends.');
  #field;
  #names = new Map();

  constructor(conference) {
    this.#conference = conference;
    this.#field = h('textarea', {
      rows: 1,
      maxlength: MAX_CHARACTERS,
      placeholder: 'Write a message',
      'aria-label': 'Message',
      data: { testid: 'chat-input' },
      oninput: () => this.#grow(),
      onkeydown: (event) => this.#onKey(event),
    });
    const form = h(
      'form',
      { class: 'composer', onsubmit: (event) => this.#submit(event) },
      this.#field,
      h('button', { class: 'icon-button send', type: 'submit', 'aria-label': 'Send', data: { testid: 'chat-send' } }, icon('send')),
    );
    this.element = h('div', { class: 'chat', data: { testid: 'chat-panel' } }, this.#empty, this.#list, form);
    conference.chat.on('change', () => this.render());
    this.render();
  }

  focus() {
    this.#field.focus({ preventScroll: true });
  }

  render() {
    const { chat, canChat } = this.#conference;
    const isAtEnd = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 60;
    this.#empty.hidden = chat.messages.length > 0;
    this.#field.disabled = !canChat;
    this.#field.placeholder = canChat ? 'Write a message' : 'You can read, but not write, in this meeting';
    const shown = chat.messages.filter(({ deleted }) => !deleted);
    this.#list.replaceChildren(...shown.map((message, index) => this.#item(message, shown[index - 1])));
    if (isAtEnd || shown.at(-1)?.mine) this.#list.scrollTop = this.#list.scrollHeight;
  }

  #item(message, former) {
    const isGrouped = former && former.identity === message.identity && message.timestamp - former.timestamp < GROUP_MS;
    return h(
      'li',
      { class: `message${message.mine ? ' mine' : ''}${isGrouped ? ' grouped' : ''}`, data: { testid: 'chat-message' } },
      !isGrouped &&
        h('p', { class: 'message-head' }, h('b', {}, this.#nameOf(message)), h('time', {}, clock.format(new Date(message.timestamp || Date.now())))),
      h('p', { class: 'message-text' }, linked(message.message)),
    );
  }

  /** Remembered, because people leave and their words stay. */
  #nameOf({ mine, identity }) {
    if (mine) return 'You';
    const name = this.#conference.roster.byIdentity(identity)?.name;
    if (name) this.#names.set(identity, name);
    return this.#names.get(identity) ?? (identity || 'Someone');
  }

  #onKey(event) {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.#submit(event);
  }

  #submit(event) {
    event.preventDefault();
    this.#conference.say(this.#field.value);
    this.#field.value = '';
    this.#grow();
  }

  #grow() {
    this.#field.style.height = 'auto';
    this.#field.style.height = `${Math.min(this.#field.scrollHeight, 120)}px`;
  }
}

function linked(text) {
  const parts = [];
  let at = 0;
  for (const match of text.matchAll(LINK)) {
    parts.push(text.slice(at, match.index), h('a', { href: match[0], target: '_blank', rel: 'noopener noreferrer' }, match[0]));
    at = match.index + match[0].length;
  }
  parts.push(text.slice(at));
  return parts;
}

/** `text`, short enough for an announcement. */
export function excerpt(text) {
  return text.length > 120 ? `${text.slice(0, 117)}…` : text;
}
