package backup

// Then is the report of two passes: what they did adds up, what they found is next's.
func (r Report) Then(next Report) Report {
	failed := next.Failed
	r.merge(next)
	r.Failed = failed
	return r
}
