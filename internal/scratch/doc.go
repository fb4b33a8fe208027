// Package scratch runs a Cassandra of its own beside the node: started from the node's own
// installation, isolated from its cluster, alive for seconds. It exists because only Cassandra can
// read Cassandra's commit log: a scratch node gets tables and segments, replays up to a microsecond,
// and what it has flushed then are SSTables like any others. The production node never restarts.
//
// A run has two starts, because replaying needs tables and tables need a running node:
//
//	configure   the node's whole conf directory is copied, and made to describe another node
//	start       an empty one; the tables are made by CQL, with the ids that the log calls them by
//	stop        it drains
//	fill        commit log segments, and SSTables where they are wanted too
//	start       Cassandra replays what of the segments belongs to the tables, and flushes that
//	stop        the result are the tables' directories
//
// # Isolation
//
// A scratch node that gossips with the cluster learns today's schema from it, and drops the very
// table that is to be rescued (watched on 5.0.8). So it has its own cluster name, address, ports and
// directories, itself as its only seed, and this is not hoped for but checked, twice:
//
//   - before a start, what the configuration that was written says when it is read again;
//   - from the moment there is a JVM, about a second before it could gossip, and for as long as it
//     runs: that its command line names that very configuration and no other, and where its sockets
//     listen and connect to; once it answers, its name for itself, and that it knows no peer.
//
// What does not pass is killed at once, and the error is ErrNotIsolated.
//
// # Visitors
//
// It has no passwords: those of the cluster are in tables that it doesn't have. So any user of the
// machine could connect, read the rows, and write some that would be imported. Who is connected is
// looked at while it runs (every 25 ms) and once it has ended, and whoever is not this process ends it
// with ErrNotIsolated. A visit to the CQL port is seen for a minute after it was closed, too. What
// remains: rows read before the next look; and, unseen, a visit shorter than that which hides on purpose
// (it resets its connection or comes from the node's address), or that is to JMX or the storage ports.
//
// Linux only: it reads /proc, and every 127/8 address is ours to listen on.
package scratch
