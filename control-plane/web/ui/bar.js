// Owns the bar of controls. Reflects the conference; the actions are handed to it.

import { h, formatDuration, setAttribute, setText } from './dom.js';
import { bars, icon, mark, setIcon } from './icons.js';
import { openMenu } from './menu.js';
import { deviceSections } from './device-menus.js';
import { canShareScreen } from '../media/devices.js';

const LEVELS = { LOST: 0, POOR: 1, GOOD: 2, EXCELLENT: 3 };
const LEVEL_WORDS = ['lost', 'poor', 'good', 'excellent'];

/** `actions`: `{mic, camera, screen, chat, people, stats, help, invite, fullscreen, leave}`. */
export class Bar {
  element;
  /** The narrow-screen head: room and clock. */
  head;
  #conference;
  #actions;
  #parts = {};
  #clock;

  constructor(conference, actions) {
    this.#conference = conference;
    this.#actions = actions;
    const parts = this.#parts;
    parts.mic = this.#button('mic', 'mic', actions.mic);
    parts.camera = this.#button('camera', 'camera', actions.camera);
    parts.screen = this.#button('screen', 'screen', actions.screen);
    parts.chat = this.#button('chat', 'chat', actions.chat, { 'aria-controls': 'panel' });
    parts.people = this.#button('people', 'people', actions.people, { 'aria-controls': 'panel' });
    parts.stats = this.#button('stats', 'stats', actions.stats);
    parts.more = this.#button('more', 'more', () => this.#openMore(), { 'aria-haspopup': 'menu', 'aria-expanded': 'false', 'aria-label': 'More', 'data-tip': 'More' });
    parts.leave = h('button', { class: 'control leave', type: 'button', 'aria-label': 'Leave the meeting', 'data-tip': 'Leave', onclick: actions.leave, data: { testid: 'leave-button' } }, icon('leave'));
    parts.unread = h('span', { class: 'badge', hidden: true, 'aria-hidden': 'true', data: { testid: 'unread' } });
    parts.count = h('span', { class: 'badge quiet', 'aria-hidden': 'true', data: { testid: 'people-count' } });
    parts.chat.append(parts.unread);
    parts.people.append(parts.count);
    parts.screen.hidden = !canShareScreen();
    this.#buildHead();
    this.element = h(
      'div',
      { class: 'bar', role: 'region', 'aria-label': 'Meeting controls', data: { testid: 'bar' } },
      this.head,
      h(
        'div',
        { class: 'bar-centre' },
        this.#split(parts.mic, 'Choose microphone and speaker', ['mics', 'speakers'], 'mic-menu'),
        this.#split(parts.camera, 'Choose camera', ['cameras'], 'camera-menu'),
        parts.screen,
        h('span', { class: 'bar-narrow' }, this.#alias(parts.chat)),
        parts.more,
        parts.leave,
      ),
      h('div', { class: 'bar-side' }, parts.stats, parts.people, parts.chat),
    );
    this.#clock = setInterval(() => this.#tick(), 1000);
  }

  focus() {
    this.#parts.mic.focus();
  }

  destroy() {
    clearInterval(this.#clock);
  }

  /** `panels`: which of "chat", "people", "stats" are open; `unread`: messages not yet seen. */
  render({ chat, people, stats, unread }) {
    const { parts, conference } = { parts: this.#parts, conference: this.#conference };
    dress(parts.mic, conference.isOn('MICROPHONE'), 'mic', ['Mute microphone', 'Unmute microphone'], 'M');
    dress(parts.camera, conference.isOn('CAMERA'), 'camera', ['Turn camera off', 'Turn camera on'], 'V');
    const isSharing = Boolean(conference.screenTrack);
    setIcon(parts.screen.querySelector('svg'), isSharing ? 'screenOff' : 'screen');
    tell(parts.screen, isSharing ? 'Stop sharing your screen' : 'Share your screen', 'S');
    parts.screen.classList.toggle('active', isSharing);
    parts.screen.dataset.on = String(isSharing);
    const count = conference.roster.all().length;
    const toggles = [
      [parts.chat, chat, 'Chat', 'C', unread ? `Chat, ${unread} unread` : 'Chat'],
      [parts.chatAlias, chat, 'Chat', 'C', unread ? `Chat, ${unread} unread` : 'Chat'],
      [parts.people, people, 'People', 'P', `People, ${count}`],
      [parts.stats, stats, 'Connection details', 'I', 'Connection details'],
    ];
    for (const [button, isOpen, label, key, spoken] of toggles) {
      tell(button, label, key, spoken);
      setAttribute(button, 'aria-expanded', isOpen);
      button.classList.toggle('active', isOpen);
    }
    for (const badge of [parts.unread, parts.unreadAlias]) {
      setText(badge, unread > 9 ? '9+' : String(unread));
      badge.hidden = unread === 0;
    }
    setText(parts.count, String(count));
    setText(parts.room, conference.room.name || 'Meeting');
    parts.recording.hidden = !conference.room.isRecording;
    const { isDirect, path } = conference.direct;
    parts.direct.hidden = !isDirect;
    setText(parts.direct, path ? `Direct · ${path}` : 'Direct');
    this.#showQuality();
  }

  #button(name, iconName, onclick, more = {}) {
    return h('button', { class: `control control-${name}`, type: 'button', onclick, ...more, data: { testid: `${name}-button` } }, icon(iconName));
  }

  /** The same control once more, for screens where the side group is not shown. */
  #alias(button) {
    const parts = this.#parts;
    parts.unreadAlias = h('span', { class: 'badge', hidden: true, 'aria-hidden': 'true' });
    parts.chatAlias = h('button', { class: 'control', type: 'button', onclick: () => button.click(), 'aria-controls': 'panel', data: { testid: 'chat-button-narrow' } }, icon('chat'), parts.unreadAlias);
    return parts.chatAlias;
  }

  #split(button, label, kinds, testid) {
    const open = async () => openMenu(arrow, label, await deviceSections(this.#conference.media, kinds));
    const arrow = h('button', { class: 'control-arrow', type: 'button', 'aria-label': label, 'aria-haspopup': 'menu', 'aria-expanded': 'false', onclick: open, data: { testid } }, icon('up'));
    return h('div', { class: 'split' }, button, arrow);
  }

  #buildHead() {
    const parts = this.#parts;
    parts.room = h('span', { class: 'room-name', data: { testid: 'room-name' } });
    parts.time = h('span', { class: 'clock', 'aria-hidden': 'true' });
    parts.bars = bars();
    parts.quality = h('span', { class: 'own-quality', role: 'img', data: { testid: 'own-quality' } }, parts.bars);
    parts.direct = h('span', { class: 'direct', hidden: true, data: { testid: 'direct' } });
    parts.recording = h('span', { class: 'recording', hidden: true }, 'Recording');
    this.head = h('div', { class: 'bar-head' }, mark(), h('div', { class: 'room' }, parts.room, h('span', { class: 'room-line' }, parts.time, parts.quality, parts.direct, parts.recording)));
  }

  #showQuality() {
    const level = LEVELS[this.#conference.roster.me?.quality] ?? 3;
    this.#parts.bars.dataset.level = level;
    setAttribute(this.#parts.quality, 'aria-label', `Your connection is ${LEVEL_WORDS[level]}`);
  }

  #tick() {
    if (this.#conference.joinedAt) setText(this.#parts.time, formatDuration(Date.now() - this.#conference.joinedAt));
  }

  async #openMore() {
    const { actions, conference } = { actions: this.#actions, conference: this.#conference };
    const devices = await deviceSections(conference.media, ['mics', 'cameras', 'speakers']);
    const isNarrow = matchMedia('(max-width: 719px), (max-height: 479px)').matches;
    const item = (label, iconName, onChoose, hint, testid) => ({ label, icon: iconName, onChoose, hint, testid });
    const meeting = [
      item('Copy invitation link', 'link', actions.invite, undefined, 'menu-invite'),
      isNarrow && item('People', 'people', actions.people, undefined, 'menu-people'),
      isNarrow && item('Connection details', 'stats', actions.stats, undefined, 'menu-stats'),
      isNarrow && canShareScreen() && item('Share your screen', 'screen', actions.screen),
      document.fullscreenEnabled && item(document.fullscreenElement ? 'Leave full screen' : 'Full screen', 'expand', actions.fullscreen, 'F'),
      !matchMedia('(hover: none)').matches && item('Keyboard shortcuts', 'help', actions.help, '?', 'menu-help'),
    ].filter(Boolean);
    openMenu(this.#parts.more, 'More', isNarrow ? [{ items: meeting }, ...devices] : [{ items: meeting }]);
  }
}

function dress(button, isOn, name, [labelOn, labelOff], key) {
  setIcon(button.querySelector('svg'), isOn ? name : `${name}Off`);
  button.closest('.split').classList.toggle('off', !isOn);
  button.dataset.on = String(isOn);
  tell(button, isOn ? labelOn : labelOff, key);
}

function tell(button, label, key, spoken = label) {
  setAttribute(button, 'aria-label', spoken);
  setAttribute(button, 'data-tip', `${label} (${key})`);
  setAttribute(button, 'aria-keyshortcuts', key.toLowerCase());
}
