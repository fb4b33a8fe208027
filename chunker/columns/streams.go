package columns

// streams are all streams of a frame.
type streams struct {
	all []stream // in the order in which a frame stores them

	keys           *texts
	live           *octets // of partitions: 0 if one is deleted, else 1
	deletedAt      *numbers
	deletedSeconds *numbers

	flags         *octets // of rows, markers and ends
	moreFlags     *octets
	markerHeads   *octets   // kind and number of values
	markers       deletions // of markers
	nulls         *numbers  // which clustering values are absent
	previousSizes *numbers
	timestamps    *numbers // of rows
	ttls          *numbers
	expirations   *numbers
	rows          deletions // of rows
	subsets       *numbers
	subsetIndexes *numbers

	clustering, static, regular []columnStreams
}

// deletions are the streams of deletions of one sort.
type deletions struct{ timestamps, seconds *numbers }

// columnStreams are the streams of a column; those it needn't have are nil.
type columnStreams struct {
	column
	flags      *octets // of cells
	timestamps *numbers
	seconds    *numbers
	ttls       *numbers

	deletions deletions // of the whole column, if it is complex
	counts    *numbers  // of cells
	paths     *texts

	numbers *numbers // values, or what of them is a number
	texts   *texts   // values, or what of them is not
	marks   *octets  // timeuuid: 1 for each that is none
	odd     *texts   // timeuuid: those
}

func newStreams(s *Schema) streams {
	st := streams{}
	st.keys = st.texts(0)
	st.live = st.octets()
	st.deletedAt = st.numbers(64)
	st.deletedSeconds = st.near(32)
	st.flags = st.octets()
	st.moreFlags = st.octets()
	st.markerHeads = st.octets()
	st.markers = st.deletions()
	st.nulls = st.numbers(64)
	st.previousSizes = st.near(64)
	st.timestamps = st.near(64)
	st.ttls = st.numbers(64)
	st.expirations = st.near(64)
	st.rows = st.deletions()
	st.subsets = st.numbers(64)
	st.subsetIndexes = st.near(64)
	st.clustering = make([]columnStreams, len(s.clustering))
	for i, c := range s.clustering {
		st.clustering[i] = st.values(c)
	}
	st.static = st.cells(s.static)
	st.regular = st.cells(s.regular)
	return st
}

func (st *streams) cells(columns []column) []columnStreams {
	list := make([]columnStreams, len(columns))
	for i, c := range columns {
		s := st.values(c)
		s.flags = st.octets()
		s.timestamps, s.seconds, s.ttls = st.near(64), st.near(64), st.numbers(64)
		if c.complex {
			s.deletions, s.counts, s.paths = st.deletions(), st.numbers(64), st.texts(0)
		}
		list[i] = s
	}
	return list
}

func (st *streams) values(c column) columnStreams {
	s := columnStreams{column: c}
	switch c.kind {
	case variable:
		s.texts = st.texts(0)
	case opaque:
		if c.count > 0 {
			s.texts = st.texts(int(c.count))
		}
	case timeuuid:
		s.numbers, s.texts, s.marks, s.odd = st.near(64), st.texts(8), st.octets(), st.texts(16)
	case millis:
		s.numbers = st.near(64)
	default:
		s.numbers = st.numbers(c.kind.bits())
		s.numbers.float = c.kind == float32be || c.kind == float64be
	}
	return s
}

func (st *streams) deletions() deletions { return deletions{st.near(64), st.near(64)} }

// near is a stream of numbers that are expected to be near to others.
func (st *streams) near(bits uint) *numbers {
	s := st.numbers(bits)
	s.relative = true
	return s
}

func (st *streams) numbers(bits uint) *numbers {
	s := &numbers{bits: bits}
	st.all = append(st.all, s)
	return s
}

func (st *streams) octets() *octets {
	s := &octets{}
	st.all = append(st.all, s)
	return s
}

func (st *streams) texts(fixed int) *texts {
	s := newTexts(fixed)
	st.all = append(st.all, s)
	return s
}
