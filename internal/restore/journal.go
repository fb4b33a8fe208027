package restore

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sstash/sstash/chunker"
)

// ErrInUse: another process restores into the same directory.
var ErrInUse = errors.New("another restore works in this directory")

// journalName is a file in the directory restored to. Its lock keeps a second restore away, and its
// lines spare a restore that goes on what an earlier one has done. It may vanish at any time (I5).
const journalName = ".sstash-restore"

// journal is a file of JSON lines. Safe for concurrent use.
type journal struct {
	mu    sync.Mutex
	file  *os.File
	files map[string]verified // by path
	loads []loadRecord
	// replayed are files of a run that was cut short.
	replayed map[string]bool
}

// record is one line: one of its fields is set.
type record struct {
	File     *verified   `json:"file,omitempty"`
	Load     *loadRecord `json:"load,omitempty"`
	Replayed string      `json:"replayed,omitempty"` // path of a file that comes from the commit log
}

// loadRecord is what happened to SSTables of a table that is loaded into a node.
type loadRecord struct {
	Plan     chunker.Hash `json:"plan"` // its identity
	Table    Name         `json:"table"`
	ID       string       `json:"table_id"` // of the live table
	State    loadState    `json:"state"`
	SSTables []int        `json:"sstables,omitempty"` // indexes into the plan's
}

type loadState string

const (
	importing loadState = "importing" // import was called
	imported  loadState = "imported"  // and has succeeded
	emptied   loadState = "emptied"   // somebody has emptied the table since: what is before doesn't count
	finished  loadState = "finished"  // with the table; what comes after is another run
)

// loaded replays what happened to a table of count SSTables. done: the newest run was finished.
func (j *journal) loaded(plan chunker.Hash, n Name, id string, count int) (states []loadState, done bool) {
	states = make([]loadState, count)
	for _, r := range j.loads {
		if r.Plan != plan || r.Table != n || r.ID != id {
			continue
		}
		if done || r.State == emptied {
			clear(states)
		}
		done = r.State == finished
		for _, k := range r.SSTables {
			if k >= 0 && k < count {
				states[k] = r.State
			}
		}
	}
	return states, done
}

// verified says that a file has been seen to have this hash. As long as its fingerprint is the same,
// it is not read again.
type verified struct {
	Path  string       `json:"path"`
	Size  int64        `json:"size"`
	Mtime int64        `json:"mtime"` // nanoseconds since 1970
	Inode uint64       `json:"inode"`
	Hash  chunker.Hash `json:"hash"`
}

func verifiedOf(path string, hash chunker.Hash, info fs.FileInfo) verified {
	v := verified{Path: path, Size: info.Size(), Mtime: info.ModTime().UnixNano(), Hash: hash}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		v.Inode = st.Ino
	}
	return v
}

// openJournal opens the journal below root, making it where it is missing, and locks it.
func openJournal(root *os.Root) (*journal, error) {
	f, err := root.OpenFile(journalName, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", root.Name(), ErrInUse)
		}
		return nil, fmt.Errorf("lock journal: %w", err)
	}
	j := &journal{file: f, files: map[string]verified{}, replayed: map[string]bool{}}
	if err := j.read(); err != nil {
		f.Close()
		return nil, fmt.Errorf("read journal: %w", err)
	}
	return j, nil
}

// read takes the lines up to the first that is cut short or not ours, and forgets the rest.
func (j *journal) read() error {
	r := bufio.NewReader(j.file)
	var good int64
	for {
		line, err := r.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		var rec record
		if err != nil || json.Unmarshal(bytes.TrimSpace(line), &rec) != nil {
			break
		}
		good += int64(len(line))
		j.remember(rec)
	}
	if err := j.file.Truncate(good); err != nil {
		return err
	}
	_, err := j.file.Seek(good, io.SeekStart)
	return err
}

func (j *journal) remember(rec record) {
	if rec.File != nil {
		j.files[rec.File.Path] = *rec.File
	}
	if rec.Load != nil {
		j.loads = append(j.loads, *rec.Load)
	}
	if rec.Replayed != "" {
		j.replayed[rec.Replayed] = true
	}
}

// add writes a line. It is not synced: a line that is lost costs time only.
func (j *journal) add(rec record) error {
	line, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.remember(rec)
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

// compact forgets all files: they have left the stage.
func (j *journal) compact() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	clear(j.files)
	clear(j.replayed)
	var lines []byte
	for _, l := range j.loads {
		line, err := json.Marshal(record{Load: &l})
		if err != nil {
			return err
		}
		lines = append(append(lines, line...), '\n')
	}
	if err := j.file.Truncate(0); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	if _, err := j.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	if _, err := j.file.Write(lines); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

// has tells whether the file at v.Path was verified when it was as it is now.
func (j *journal) has(v verified) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.files[v.Path] == v
}

func (j *journal) close() { j.file.Close() }
