# Sourced by its neighbours. node.sh, which Go writes, sets dir, lib, java,
# archives, training, address and heap.
bin=${0%/*}
. "$bin/node.sh"
conf=${CASSANDRA_CONF:-$dir/conf}

# run ARCHIVE ARGUMENT… becomes the JVM. It shares ARCHIVE's class data, or
# writes them when training. The archive is valid only while the class path
# begins as it did in training, where directories are not allowed: conf is last.
run() {
	archive=$archives/$1.jsa
	shift
	if [ -n "$training" ]; then
		set -- -XX:ArchiveClassesAtExit="$archive" -cp "$lib/*" "$@"
	elif [ -e "$archive" ]; then
		set -- -XX:SharedArchiveFile="$archive" -cp "$lib/*:$conf" "$@"
	else
		set -- -cp "$lib/*:$conf" "$@"
	fi
	exec "$java" @"$bin/jvm.options" -Duser.home="$dir/home" -Djava.io.tmpdir="$dir/tmp" "$@"
}
