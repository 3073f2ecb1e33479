// Owns pop-up menus: one at a time, above the button that opened it, a sheet on small screens.
// Follows the ARIA menu pattern: arrows move, Enter chooses, Escape closes and gives focus back.

import { h } from './dom.js';
import { icon } from './icons.js';

let current;

export function closeMenu() {
  current?.();
}

/**
 * Opens a menu at `anchor`. `sections`: `[{title, items: [{label, icon, hint, isChecked, onChoose}]}]`;
 * items with `isChecked` defined form a radio group. Opening it again closes it.
 */
export function openMenu(anchor, label, sections) {
  const isSame = anchor.getAttribute('aria-expanded') === 'true';
  closeMenu();
  if (isSame) return;
  const menu = h('div', { class: 'menu', role: 'menu', 'aria-label': label, data: { testid: 'menu' } }, sections.map(sectionOf));
  const shade = h('div', { class: 'menu-shade' }, menu);
  const close = () => {
    current = undefined;
    shade.remove();
    anchor.setAttribute('aria-expanded', 'false');
    if (document.activeElement === document.body || menu.contains(document.activeElement)) anchor.focus();
  };
  shade.addEventListener('pointerdown', (event) => event.target === shade && close());
  menu.addEventListener('keydown', (event) => onKey(event, menu, close));
  menu.addEventListener('click', (event) => event.target.closest('[role^=menuitem]') && close());
  document.body.append(shade);
  place(menu, anchor);
  anchor.setAttribute('aria-expanded', 'true');
  current = close;
  (menu.querySelector('[aria-checked=true]') ?? menu.querySelector('[role^=menuitem]'))?.focus();
}

function sectionOf({ title, items }) {
  return h(
    'div',
    { class: 'menu-section', role: 'group', 'aria-label': title },
    title && h('p', { class: 'menu-title', 'aria-hidden': 'true' }, title),
    items.map(itemOf),
  );
}

function itemOf({ label, icon: name, hint, isChecked, onChoose, testid }) {
  const isRadio = isChecked !== undefined;
  return h(
    'button',
    {
      class: 'menu-item',
      type: 'button',
      role: isRadio ? 'menuitemradio' : 'menuitem',
      'aria-checked': isRadio ? String(isChecked) : undefined,
      tabIndex: -1,
      onclick: onChoose,
      data: testid ? { testid } : {},
    },
    isRadio ? h('span', { class: 'menu-check' }, isChecked && icon('check')) : name && icon(name),
    h('span', { class: 'menu-label' }, label),
    hint && h('kbd', {}, hint),
  );
}

function onKey(event, menu, close) {
  const items = [...menu.querySelectorAll('[role^=menuitem]')];
  const at = items.indexOf(document.activeElement);
  const moves = { ArrowDown: at + 1, ArrowUp: at - 1 + items.length, Home: 0, End: items.length - 1 };
  if (event.key in moves) items[moves[event.key] % items.length].focus();
  else if (event.key === 'Escape' || event.key === 'Tab') close();
  else return;
  event.preventDefault();
  event.stopPropagation();
}

function place(menu, anchor) {
  const button = anchor.getBoundingClientRect();
  const size = menu.getBoundingClientRect();
  const margin = 8;
  const left = Math.min(Math.max(margin, button.left + button.width / 2 - size.width / 2), innerWidth - size.width - margin);
  const above = button.top - size.height - 10;
  menu.style.setProperty('--menu-left', `${left}px`);
  menu.style.setProperty('--menu-top', `${above >= margin ? above : Math.max(margin, innerHeight - size.height - margin)}px`);
}
