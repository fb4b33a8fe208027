#!/bin/sh
# Puts what a Cassandra 5.0.8 needs into the test cache: lib/ with its jars and
# jdk, a link to a JDK 17; and lz4/, the lz4-java of all Cassandras. Prints nothing
# when that is there already; may be interrupted, and run by several processes at
# once.
set -eu

cache=${SSTASH_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sstash}/cassandra-5.0.8
[ -d "$cache/lib" ] && [ -d "$cache/lz4" ] && [ -x "$cache/jdk/bin/java" ] && exit 0

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9

# quietly COMMAND: runs it, and shows what it said only if it fails.
quietly() {
	"$@" >"$cache/install.log" 2>&1 && return
	echo "install.sh: $* failed:" >&2
	tail -n 30 "$cache/install.log" >&2
	exit 1
}

# jdk17 prints the home of a JDK 17, whatever other versions are installed.
jdk17() {
	on_path=$(readlink -f "$(command -v java)" || true)
	for home in "${JAVA_HOME:-}" "${on_path%/bin/java}" /usr/lib/jvm/*17*; do
		if [ -x "$home/bin/java" ] && grep -q '^JAVA_VERSION="17[."]' "$home/release" 2>/dev/null; then
			echo "$home"
			return
		fi
	done
	return 1
}

missing=
jdk17 >/dev/null || missing=openjdk-17-jdk-headless
[ -d "$cache/lib" ] && [ -d "$cache/lz4" ] || command -v mvn >/dev/null || missing="$missing maven"
if [ -n "$missing" ]; then
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "install.sh: Cassandra for the tests needs:" $missing >&2
		echo "sudo sh -c 'apt-get update && apt-get install -y" $missing"'" >&2
		exit 1
	fi
	echo "installing $missing with apt" >&2
	export DEBIAN_FRONTEND=noninteractive
	quietly apt-get update
	quietly apt-get install -y --no-install-recommends $missing
fi

home=$(jdk17) || {
	echo "install.sh: the JDK 17 installed just now is not in /usr/lib/jvm" >&2
	exit 1
}
ln -sfn "$home" "$cache/jdk"

# jars DIRECTORY GOAL...: has Maven fill the directory, unless it is there.
jars() {
	[ -d "$cache/$1" ] && return
	rm -rf "$cache/$1".??????
	new=$(mktemp -d "$cache/$1.XXXXXX")
	trap 'rm -rf "$new"' EXIT
	to=$cache/$1
	shift
	echo "fetching Cassandra's libraries with Maven into $to, once" >&2
	quietly env JAVA_HOME="$cache/jdk" mvn -B -q -f "$here/pom.xml" "$@" -DoutputDirectory="$new"
	chmod 755 "$new"
	mv -T "$new" "$to"
}

jars lib dependency:copy-dependencies -DincludeScope=runtime
jars lz4 dependency:copy
