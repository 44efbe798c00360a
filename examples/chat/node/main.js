// Counts what is said in a chat, by sender. The folders beside this one have the same plugin in Python and in Rust.
//
//     callgate call counter-node.say '{"text": "Hello"}'    # says it to all, as the event chat.node
//     callgate call counter-node.counts                     # how often each has spoken
//     callgate call counter-node.compare                    # the same, and what counter-rust has counted
'use strict';

const counts = {};
// Service calls without an answer yet: by id, the functions that take the answer.
const waiting = new Map();
let calls = 0;

function send(frame) {
  process.stdout.write(`IPC:${JSON.stringify(frame)}\n`);
}

// Calls a gate of another plugin.
function call(gate, params) {
  const id = String(++calls);
  send({ type: gate, id, ...params });
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
}

const actions = new Map([
  ['say', ({ text = '' }) => {
    const message = { from: 'node', text };
    send({ type: 'events.publish', topic: 'chat.node', payload: message });
    return message;
  }],
  ['counts', ({ from }) => (from === undefined ? counts : { [from]: counts[from] ?? 0 })],
  // Answers later: the plugin handles other requests and events meanwhile.
  ['compare', async () => ({ mine: counts, theirs: await call('counter-rust.counts', {}) })],
]);

async function answer({ action, params }) {
  const handler = actions.get(action);
  if (handler === undefined) {
    return { error: { code: 'UNKNOWN_ACTION', message: `there is no action ${action}` } };
  }
  try {
    return { result: await handler(params) };
  } catch (error) {
    return { error: { code: error.code ?? 'FAILED', message: error.message } };
  }
}

async function handle(frame) {
  switch (frame.type) {
    case 'ping':
      return send({ type: 'pong', nonce: frame.nonce });
    case 'request':
      return send({ type: 'response', id: frame.id, ...await answer(frame) });
    case 'event.deliver': {
      const { from } = frame.payload;
      counts[from] = (counts[from] ?? 0) + 1;
      return undefined;
    }
    case 'response': {
      const { resolve, reject } = waiting.get(frame.id);
      waiting.delete(frame.id);
      return frame.error ? reject(frame.error) : resolve(frame.result);
    }
    case 'event.ack':
      // The subscription is in place, so the plugin may be called from now on.
      return send({ type: 'serve_ready' });
    default:
      return undefined;
  }
}

// The code splits the lines itself, because the module `readline` also ends lines at U+2028.
let pieces = [];
process.stdin.on('data', (chunk) => {
  let start = 0;
  for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
    pieces.push(chunk.subarray(start, end));
    handle(JSON.parse(Buffer.concat(pieces).toString()));
    pieces = [];
    start = end + 1;
  }
  pieces.push(chunk.subarray(start));
});

send({ type: 'ready' });
send({ type: 'events.subscribe', id: 'chat', topic: 'chat.*' });
