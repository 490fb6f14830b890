import { servePeer } from "./grpc-js-peer.ts";

servePeer();
