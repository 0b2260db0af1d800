import { type ReactNode, useSyncExternalStore } from 'react';
import { nameOf } from '../visitor.ts';

/** A notification as the demo's backend publishes it. */
export interface Note {
  readonly id: string;
  readonly message: string;
  readonly from: string;
}

interface Toast {
  readonly id: number;
  readonly text: string;
}

const lasts = 4000;
const listeners = new Set<() => void>();
let toasts: readonly Toast[] = [];
let last = 0;

function set(next: readonly Toast[]): void {
  toasts = next;
  for (const listener of listeners) listener();
}

/** Shows something for a moment. */
export const toast = {
  info(text: string): void {
    const shown = { id: ++last, text };
    set([...toasts, shown]);
    setTimeout(() => set(toasts.filter((other) => other !== shown)), lasts);
  },
};

/** Where toasts appear. */
export function Toasts(): ReactNode {
  const shown = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => toasts,
  );
  return (
    <div className="toasts" role="status">
      {shown.map(({ id, text }) => (
        <p key={id} className="toast">
          {text}
        </p>
      ))}
    </div>
  );
}

let sounds: AudioContext | undefined;

/** A short, soft sound, where the browser allows one. */
export function playNotificationSound(): void {
  if (!navigator.userActivation.hasBeenActive) return;
  sounds ??= new AudioContext();
  const { currentTime, destination } = sounds;
  const tone = new OscillatorNode(sounds, { frequency: 660 });
  const volume = new GainNode(sounds, { gain: 0.03 });
  volume.gain.exponentialRampToValueAtTime(0.0001, currentTime + 0.25);
  tone.connect(volume).connect(destination);
  tone.start();
  tone.stop(currentTime + 0.25);
}

export function Notification({ message, from }: Note): ReactNode {
  return (
    <article className="note">
      <p>{message}</p>
      <small>{`from ${nameOf(from)}`}</small>
    </article>
  );
}
