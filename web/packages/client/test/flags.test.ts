import { InMemoryProvider, OpenFeature } from '@openfeature/web-sdk';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createSwitch, isOn, openFeature, realTimeUpdates } from '../src/flags/index.ts';

const flag = (on: boolean) => ({
  [realTimeUpdates]: { variants: { on: true, off: false }, defaultVariant: on ? 'on' : 'off', disabled: false },
});

describe('a flag of OpenFeature', () => {
  afterEach(() => OpenFeature.clearProviders());

  it('is on where the application has no provider', () => {
    expect(openFeature(OpenFeature.getClient()).get()).toBe(true);
    expect(openFeature(OpenFeature.getClient(), realTimeUpdates, false).get()).toBe(false);
  });

  it('is what the provider says, and turns with it', async () => {
    const provider = new InMemoryProvider(flag(false));
    await OpenFeature.setProviderAndWait(provider);
    const source = openFeature(OpenFeature.getClient());
    expect(source.get()).toBe(false);
    const seen: boolean[] = [];
    const undo = source.subscribe(() => seen.push(source.get()));
    await provider.putConfiguration(flag(true));
    await vi.waitFor(() => expect(seen.at(-1)).toBe(true));
    undo();
    const told = seen.length;
    await provider.putConfiguration(flag(false));
    await vi.waitFor(() => expect(source.get()).toBe(false));
    expect(seen).toHaveLength(told);
  });

  it('is as before where the client throws', () => {
    const broken = {
      getBooleanValue() {
        throw new Error('of the flag provider');
      },
      addHandler() {},
      removeHandler() {},
    };
    expect(openFeature(broken).get()).toBe(true);
  });
});

it('a switch tells of each turn until the undo is called', () => {
  const source = createSwitch();
  const seen: boolean[] = [];
  const undo = source.subscribe(() => seen.push(source.get()));
  source.set(false);
  source.set(false);
  source.set(true);
  undo();
  source.set(false);
  expect(seen).toEqual([false, true]);
});

it('is on where there is none', () => {
  expect([undefined, true, false, createSwitch(false)].map(isOn)).toEqual([true, true, false, false]);
});
