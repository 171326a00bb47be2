import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';

/**
 * A NAT before a server's media port: what comes to its port goes on from a port of the sender's own
 * there, until it is given another.
 */
export class Nat {
  private readonly outside = new Map<string, Socket>();

  private constructor(
    private readonly inside: Socket,
    private readonly server: { address: string; port: number },
  ) {
    inside.on('message', (packet, client) =>
      this.mapping(client).send(packet, server.port, server.address),
    );
  }

  static async start(server: { address: string; port: number }): Promise<Nat> {
    const inside = createSocket('udp4');
    await new Promise<void>((resolve) => inside.bind(0, resolve));
    return new Nat(inside, server);
  }

  get port(): number {
    return this.inside.address().port;
  }

  /** Forgets all ports: the next packet of everybody goes on from another one. */
  rebind(): void {
    for (const socket of this.outside.values()) socket.close();
    this.outside.clear();
  }

  stop(): void {
    this.rebind();
    this.inside.close();
  }

  private mapping({ address, port }: RemoteInfo): Socket {
    const client = `${address} ${port}`;
    const known = this.outside.get(client);
    if (known) return known;
    const socket = createSocket('udp4');
    socket.on('message', (packet, from) => {
      if (from.port === this.server.port) this.inside.send(packet, port, address);
    });
    this.outside.set(client, socket);
    return socket;
  }
}
