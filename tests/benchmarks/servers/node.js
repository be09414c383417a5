// Streams a command's output: PORT COMMANDS. Under /shared/ the first to come
// starts it, and all who come before it writes see the same.
const { spawn } = require('node:child_process');
const http = require('node:http');
const commands = JSON.parse(require('node:fs').readFileSync(process.argv[3], 'utf8'));
const shared = new Map();

function start(name) {
  const [program, ...argv] = commands[name];
  return spawn(program, argv, { stdio: ['ignore', 'pipe', 'inherit'] });
}

function share(name, response) {
  let viewers = shared.get(name);
  if (!viewers) {
    shared.set(name, viewers = new Set());
    const child = start(name);
    child.stdout.on('data', (chunk) => viewers.forEach((each) => each.write(chunk)));
    child.stdout.on('end', () => viewers.forEach((each) => each.end()));
  }
  viewers.add(response);
  response.on('close', () => viewers.delete(response));
}

http.createServer((request, response) => {
  const [, name, viewed] = request.url.split('/');
  response.flushHeaders();
  if (viewed) return share(viewed, response);
  const child = start(name);
  child.stdout.pipe(response);
  response.on('close', () => child.kill());
}).listen(Number(process.argv[2]), '127.0.0.1', 4096);
