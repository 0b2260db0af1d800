import { vi } from 'vitest';
import { type Client, createClient, type Transport } from '../../src/index.ts';
import { createHub } from '../../src/shared/hub.ts';
import { createTab } from '../../src/shared/tab.ts';
import type { ChannelOptions } from '../../src/wire.ts';
import { type Action, actionsOf, breathe, type Published, pass, type Stage } from './actions.ts';
import { type Chance, createChance } from './chance.ts';
import { createFollower, type Follower } from './follower.ts';
import { isPattern } from './logs.ts';
import { createWorld, type World } from './server.ts';

const names = ['a', 'b.x', 'b.y', 'b.*'];
const steps = 60;

type Fault = (text: string) => never;

/** Runs the program of a seed: chance decides what the application, the network and the server do, until everything is let settle. */
export async function run(seed: number, tabs = 1): Promise<void> {
  const chance = createChance(seed);
  const told: string[] = [];
  const faults: string[] = [];
  const fault: Fault = (text) => {
    faults.push(text); // nobody may hear it where it is thrown
    throw new Error(`program ${seed}: ${faults[0]}\n${told.join('\n')}`);
  };
  const stages: Stage[] = [];
  const look = (): void => {
    for (const { client, followers } of stages) {
      if (client.getSnapshot().state === 'error') fault('it gave up');
      for (const follower of followers) follower.look();
    }
    if (faults.length > 0) fault('');
  };
  const world = createWorld(names, chance.oneIn(3) ? 'a' : undefined, chance);
  const published: Published[] = [];
  const page = Object.assign(new EventTarget(), { visibilityState: 'visible' });
  vi.stubGlobal('document', page);
  vi.stubGlobal('addEventListener', () => {});
  const place = tabs > 1 ? placesOf(world.transport, look) : () => ({ transport: world.transport, crash() {} });
  let came = 0;
  const arrive = (): { stage: Stage; actions: Action[]; crash: () => void } => {
    const { transport, crash } = place();
    const client = createClientOf(transport, chance, fault);
    const tab = came++;
    const followers = followersOf(client, world, chance, fault, tabs > 1, (text) => told.push(`${tab}: ${text}`));
    const stage = { chance, client, world, followers, published, present: new Map(), page, tab };
    return { stage, actions: actionsOf(stage), crash };
  };
  const there = Array.from({ length: tabs }, arrive);
  for (let i = 0; i < steps; i++) {
    stages.splice(0, stages.length, ...there.map(({ stage }) => stage));
    const at = chance.below(tabs);
    const { stage, actions, crash } = there[at] ?? arrive();
    if (tabs > 1 && chance.oneIn(40)) {
      crash();
      for (const each of published) if (each.data.startsWith(`own ${stage.tab}.`)) each.outcome ??= 'unknown';
      told.push(`${stage.tab} crashes, and another tab comes`);
      there[at] = arrive();
      continue;
    }
    const what = await chance.pick(actions)?.();
    if (what) told.push(`${stage.tab}: ${what}`);
    if (!chance.oneIn(3)) await breathe();
    look();
  }
  stages.splice(0, stages.length, ...there.map(({ stage }) => stage));
  told.push('then everything settles');
  await settle(world, stages, look);
  check(world, stages, fault);
  for (const each of published) checkPublished(each, world, fault);
  look();
  for (const { client } of stages) client.disconnect();
  await breathe();
  vi.clearAllTimers();
}

function createClientOf(transport: Transport, chance: Chance, fault: Fault): Client {
  const client = createClient({ transports: [transport], token: chance.oneIn(2) ? 'token' : () => 'token' });
  const all = new Set<string>();
  client.onMessage(({ channel, position }) => {
    const key = `${channel} ${position?.offset}@${position?.epoch}`;
    if (all.has(key)) fault(`onMessage was told of ${key} twice`);
    all.add(key);
  });
  client.onError(({ reason }) => {
    if (reason === 'DISCONNECTED') fault('the application is told that its own client has taken its session over');
  });
  return client;
}

function followersOf(
  client: Client,
  world: World,
  chance: Chance,
  fault: Fault,
  isShared: boolean,
  tell: (text: string) => void,
): Follower[] {
  return names.map((name) => {
    const options = optionsOf(name, chance);
    const isJoined = name === world.joins;
    tell(`${name} with ${JSON.stringify(options)}${isJoined ? ', joined by the address' : ''}`);
    // Tabs join where their link is by then; and see what a pattern replays for another, which does not say how old it is.
    const bears = { older: isShared || isJoined, vague: isShared && isPattern(name) };
    return createFollower(client, name, options, world.logs, bears, fault);
  });
}

/** Places at a hub. What goes between a tab and the hub is copied, and takes its time; `look` sees what comes of each piece. */
function placesOf(transport: Transport, look: () => void): () => { transport: Transport; crash: () => void } {
  const hub = createHub(transport);
  return () => {
    let isGone = false;
    const later = (act: () => void): void => queueMicrotask(() => isGone || act());
    const seat = hub.seat((message) =>
      later(() => {
        side.receive(structuredClone(message));
        try {
          look();
        } catch {
          // it is remembered
        }
      }),
    );
    const side = createTab((message) => later(() => seat.receive(structuredClone(message))));
    return {
      transport: { name: 'shared', open: side.open },
      crash() {
        isGone = true;
        seat.gone();
      },
    };
  };
}

/** Lets the network be good, for longer than a lost session is present. */
async function settle(world: World, stages: readonly Stage[], look: () => void): Promise<void> {
  for (const { client } of stages) client.connect();
  for (let i = 0; i < 50; i++) {
    await breathe();
    for (let more = true; more; ) {
      more = false;
      for (const way of world.ways()) {
        if (way.state === 'opening') way.accept();
        for (const carry of [way.toServer, way.toClient]) {
          more = carry() || more;
          await breathe();
          look();
        }
      }
    }
    await pass(1000, 1000);
  }
}

function check(world: World, stages: readonly Stage[], fault: Fault): void {
  for (const { client, followers } of stages) {
    for (const follower of followers) follower.check();
    const { state, queued } = client.getSnapshot();
    if (state !== 'connected') fault(`it is ${state}`);
    if (queued > 0) fault(`${queued} commands wait`);
  }
  const followers = stages.flatMap((stage) => stage.followers);
  const wanted = new Set(followers.filter((f) => f.size > 0).map((f) => f.name));
  same('subscribed', world.subscribed(), [...wanted], fault);
  checkPresent(stages, world, fault);
  for (const { channel, name, isWatching } of followers) {
    const shown = channel.presence.getSnapshot().members.map(({ data }) => String(data));
    if (isWatching && name !== 'b.*') same(`members of ${name}`, shown, world.members(name).map(String), fault);
  }
}

/** Tabs that share a connection are one member, with what one of them has entered. */
function checkPresent(stages: readonly Stage[], world: World, fault: Fault): void {
  const entered = stages.flatMap(({ present }) => [...present].map(([name, data]) => `${name} as ${data}`));
  const channel = (text: string): string => text.split(' ', 1)[0] as string;
  same('present', world.present().map(channel), [...new Set(entered.map(channel))], fault);
  for (const shown of world.present())
    if (!entered.includes(shown)) fault(`present is ${shown}, of ${entered.join(', ')}`);
}

function optionsOf(name: string, chance: Chance): ChannelOptions {
  if (chance.oneIn(4) && name !== 'b.*') return { recent: 1 + chance.below(3) };
  if (chance.oneIn(4)) return { filter: { types: ['shown'] } };
  return chance.oneIn(4) && !isPattern(name) ? { onGap: 'oldest' } : {};
}

function same(what: string, got: readonly string[], want: readonly string[], fault: Fault): void {
  const [a, b] = [got, want].map((list) => [...list].sort().join(', '));
  if (a !== b) fault(`${what}: ${a || 'nothing'}, and wanted is ${b || 'nothing'}`);
}

function checkPublished({ channel, data, outcome }: Published, world: World, fault: Fault): void {
  const placed = world.logs.channels.get(channel)?.filter((m) => m.data === data) ?? [];
  const epochs = new Set(placed.map((m) => m.epoch)); // a server that starts again has forgotten what it had
  if (!outcome) fault(`nobody knows what became of ${data}`);
  if (placed.length > epochs.size) fault(`${data} was placed ${placed.length} times`);
  if (outcome === 'acknowledged' && placed.length === 0) fault(`${data} was acknowledged, and not placed`);
  if (outcome === 'refused' && placed.length > 0) fault(`${data} was refused, and placed`);
}
