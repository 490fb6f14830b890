export * from "@signalbox/protocol/progress";
