// Owns the meeting screen: puts stage, bar, panel and overlays together and wires them to the
// conference. Redraws at most once per turn of the event loop.

import { h, setText } from './dom.js';
import { icon } from './icons.js';
import { announce, toast } from './announce.js';
import { Banner } from './banner.js';
import { Bar } from './bar.js';
import { ChatPanel, excerpt } from './chat-panel.js';
import { PeoplePanel } from './people-panel.js';
import { Shortcuts } from './shortcuts.js';
import { Stage } from './stage.js';
import { StatsOverlay } from './stats-overlay.js';
import { WhyPanel } from './why-panel.js';
import { closeMenu } from './menu.js';
import { Playback } from '../media/playback.js';

const TITLES = { chat: 'Chat', people: 'People' };

export class Meeting {
  element;
  stage;
  #conference;
  #invite;
  #bar;
  #banner = new Banner();
  #stats;
  #why;
  #panels;
  #panel;
  #panelTitle = h('h2', {});
  #panelBody = h('div', { class: 'panel-body' });
  #open = '';
  #unread = 0;
  #playback;
  #shortcuts;
  #isScheduled = false;
  #isDestroyed = false;

  /** `invite` is the link to copy. */
  constructor(conference, invite) {
    this.#conference = conference;
    this.#invite = invite;
    const actions = this.#actions();
    const sounds = h('div', { hidden: true });
    this.#playback = new Playback(sounds);
    this.#bar = new Bar(conference, actions);
    this.stage = new Stage(conference, this.#solo(), () => this.#show('people'), (view) => this.#why.open(view));
    this.#why = new WhyPanel(conference);
    this.#stats = new StatsOverlay(conference, () => actions.stats());
    this.#panels = { chat: new ChatPanel(conference), people: new PeoplePanel(conference, actions.invite) };
    this.#shortcuts = new Shortcuts(actions);
    this.#panel = this.#buildPanel();
    const skip = h('button', { class: 'skip', type: 'button', onclick: () => this.#bar.focus() }, 'Skip to the controls');
    this.element = h('div', { class: 'meeting', data: { testid: 'meeting' } }, skip, this.stage.element, this.#panel, this.#bar.element, this.#banner.element, this.#stats.element, this.#why.element, this.#shortcuts.dialog, sounds);
    this.#listen();
    this.#schedule();
  }

  destroy() {
    this.#isDestroyed = true;
    closeMenu();
    this.stage.destroy();
    this.#bar.destroy();
    this.#stats.destroy();
    this.#why.close();
    this.#shortcuts.destroy();
    this.#playback.update(new Map());
    this.element.remove();
  }

  #actions() {
    const conference = this.#conference;
    return {
      mic: () => conference.setMicrophone(!conference.isOn('MICROPHONE')),
      camera: () => conference.setCamera(!conference.isOn('CAMERA')),
      screen: () => conference.setScreenShare(!conference.screenTrack),
      chat: () => this.#show(this.#open === 'chat' ? '' : 'chat'),
      people: () => this.#show(this.#open === 'people' ? '' : 'people'),
      stats: () => this.#toggleStats(),
      help: () => this.#shortcuts.openHelp(),
      invite: () => this.#copyInvite(),
      fullscreen: () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen?.())?.catch(() => {}),
      leave: () => conference.leave(),
      previousPage: () => this.stage.turnPage(-1),
      nextPage: () => this.stage.turnPage(1),
      dismiss: () => this.#dismiss(),
      talk: (isHeld) => this.#talk(isHeld),
    };
  }

  #listen() {
    const conference = this.#conference;
    const redraw = () => this.#schedule();
    conference.on('change', redraw);
    conference.on('audio', () => this.#playAudio());
    conference.on('notice', toast);
    conference.on('arrived', ({ name }) => announce(`${name} joined`));
    conference.on('departed', ({ name }) => announce(`${name} left`));
    conference.on('state', (state) => {
      this.#banner.showState(state);
      redraw();
    });
    conference.chat.on('message', (message) => this.#onMessage(message));
    this.#playback.on('blocked', (isBlocked) => {
      if (isBlocked) this.#banner.askForSound(() => this.#playback.unblock());
      else this.#banner.hide();
    });
    this.#playAudio();
  }

  #schedule() {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    // Not an animation frame: those stop in a hidden tab, and the room is told sizes from here.
    setTimeout(() => {
      this.#isScheduled = false;
      if (!this.#isDestroyed) this.#render();
    });
  }

  #render() {
    this.stage.render();
    this.#bar.render({ chat: this.#open === 'chat', people: this.#open === 'people', stats: this.#stats.isOpen, unread: this.#unread });
    if (this.#open === 'people') this.#panels.people.render();
    this.#playback.setSpeaker(this.#conference.media.speakerId);
  }

  #playAudio() {
    const audible = [...this.#conference.received].filter(([, { track }]) => track.kind === 'audio');
    this.#playback.update(new Map(audible.map(([sid, { track }]) => [sid, track])));
  }

  #show(name) {
    this.#open = name;
    this.element.classList.toggle('with-panel', Boolean(name));
    this.#panel.hidden = !name;
    if (name) {
      setText(this.#panelTitle, TITLES[name]);
      this.#panel.setAttribute('aria-label', TITLES[name]);
      this.#panelBody.replaceChildren(this.#panels[name].element);
      this.#panels[name].render();
      this.#panels[name].focus();
    }
    if (name === 'chat') this.#unread = 0;
    this.#schedule();
  }

  #toggleStats() {
    this.#stats.setOpen(!this.#stats.isOpen);
    this.#schedule();
  }

  #dismiss() {
    if (this.#open) {
      const button = this.#bar.element.querySelector(`[data-testid=${this.#open}-button]`);
      this.#show('');
      button.focus();
    } else if (this.#why.isOpen) this.#why.close();
    else if (this.#stats.isOpen) this.#toggleStats();
  }

  /** Push-to-talk; true when the microphone was off and is now held open. */
  #talk(isHeld) {
    if (isHeld && this.#conference.isOn('MICROPHONE')) return false;
    this.#conference.setMicrophone(isHeld);
    return isHeld;
  }

  #onMessage(message) {
    if (message.mine) return;
    const name = this.#conference.roster.byIdentity(message.identity)?.name ?? 'Someone';
    announce(`${name} says: ${excerpt(message.message)}`);
    if (this.#open === 'chat') return;
    this.#unread += 1;
    toast(`${name}: ${excerpt(message.message)}`);
    this.#schedule();
  }

  async #copyInvite() {
    try {
      await navigator.clipboard.writeText(this.#invite);
      toast('Invitation link copied.');
    } catch {
      toast(`Copy this link: ${this.#invite}`);
    }
  }

  #solo() {
    return h(
      'aside',
      { class: 'solo', hidden: true, data: { testid: 'solo' } },
      h('p', { class: 'solo-title' }, 'You are the first one here'),
      h('p', { class: 'solo-link' }, this.#invite.replace(/^https?:\/\//, '')),
      h('button', { class: 'primary small', type: 'button', onclick: () => this.#copyInvite(), data: { testid: 'copy-invite' } }, icon('link'), 'Copy invitation link'),
    );
  }

  #buildPanel() {
    const close = h('button', { class: 'icon-button', type: 'button', 'aria-label': 'Close panel', onclick: () => this.#dismiss(), data: { testid: 'panel-close' } }, icon('close'));
    return h('aside', { class: 'panel', id: 'panel', hidden: true, data: { testid: 'panel' } }, h('header', {}, this.#panelTitle, close), this.#panelBody);
  }
}
