// Package cassandra talks to one running Apache Cassandra node: its
// cassandra.yaml, nodetool, and CQL for identity and schema. What it changes, it
// changes through the node; the files of the database are other packages'
// business.
//
// Where a statement here says which version does what, it was read in
// Cassandra's source or watched on 5.0.8.
package cassandra
