// One socket of zeromq.js that plays a role: the words are explained in tests/matrix/role.rs.

const zmq = require("zeromq")
const readline = require("readline")

const words = Object.fromEntries(
  process.argv.slice(2).map((word) => {
    const at = word.indexOf("=")
    return [word.slice(0, at), word.slice(at + 1)]
  }),
)
const CLASSES = {
  REQ: zmq.Request, REP: zmq.Reply, DEALER: zmq.Dealer, ROUTER: zmq.Router, PUB: zmq.Publisher,
  SUB: zmq.Subscriber, XPUB: zmq.XPublisher, XSUB: zmq.XSubscriber, PUSH: zmq.Push,
  PULL: zmq.Pull, PAIR: zmq.Pair,
}
const shapes = (words.shapes || "").split(",").filter(Boolean).map((shape) => shape.split("x").map(Number))
const delimiter = words.delimiter ? [Buffer.alloc(0)] : []

const pattern = Buffer.alloc((1 << 16) * 81)
for (let i = 0; i < pattern.length; i++) {
  const j = i & 0xffff
  pattern[i] = (j * 31 + (j >> 8) * 7) & 255
}

const parts = ([size, count]) => Array.from({ length: count }, (_, n) => pattern.subarray(n, n + size))

function describe(message) {
  const size = message[0].length
  const whole = message.every((part, n) => part.equals(pattern.subarray(n, n + size)))
  return whole ? `${size}x${message.length}` : `BAD ${message.map((part) => part.length)}`
}

const say = (line) => process.stdout.write(line + "\n")

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()

const pause = (ms) => new Promise((done) => setTimeout(done, ms))

async function main() {
  const options = {
    "plain-client": { plainUsername: words.user, plainPassword: words.password },
    "curve-client": {
      curveServerKey: words.server, curvePublicKey: words.public, curveSecretKey: words.secret,
    },
    "curve-server": { curveServer: true, curveSecretKey: words.secret },
  }[words.mechanism] || {}
  if (words.identity) options.routingId = words.identity
  const socket = new CLASSES[words.type](options)
  if (words.type === "SUB") socket.subscribe(words.topics || "")
  if (words.bind) {
    await socket.bind(words.bind)
    say(`bound ${socket.lastEndpoint}`)
  } else {
    socket.connect(words.connect)
    say("connecting")
  }
  if (words.mode === "echo") {
    for (;;) await socket.send(await socket.receive())
  }
  if (words.mode === "ask") {
    for (const shape of shapes) {
      await socket.send([...delimiter, ...parts(shape)])
      say(describe((await socket.receive()).slice(delimiter.length)))
    }
  }
  if (words.mode === "send") {
    if (words.type === "PUB") {
      let told = false
      lines.next().then(() => { told = true })
      while (!told) {
        await socket.send("sync")
        await pause(5)
      }
    }
    for (const shape of shapes) await socket.send(parts(shape))
  }
  if (words.mode === "take") {
    let synced = false
    for (let left = shapes.length; left > 0; ) {
      const message = await socket.receive()
      if (message.length === 1 && message[0].toString() === "sync") {
        if (!synced) say("synced")
        synced = true
      } else {
        say(describe(message))
        left--
      }
    }
  }
  socket.linger = 30000
  socket.close()
  say("done")
}

main().then(() => process.stdin.destroy(), (error) => {
  console.error(error)
  process.exit(1)
})
