package sfu

// maxRanks is how many layers of a publication are told apart in counting: three
// encodings, or three spatial layers.
const maxRanks = 3

// countLayers counts the video slots by the layer that they are sent, the lowest first.
// Slots that are sent nothing yet are not counted.
func (r *room) countLayers(slots *[maxRanks]int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.connections() {
		for _, d := range c.video {
			p := r.publications.get(d.key)
			if p == nil || d.up == nil || !d.sent.Load() {
				continue
			}
			slots[min(p.rank(d), maxRanks-1)]++
		}
	}
}

// rank is the place of what a slot is sent among the pictures of the publication that
// differ in size, 0 for the smallest.
func (p *publication) rank(d *downTrack) int {
	current := unpackLayer(d.layers.current.Load()).Spatial
	list, _ := p.options()
	rank := 0
	for i, o := range list {
		if i > 0 && (o.up != list[i-1].up || o.limit.Spatial != list[i-1].limit.Spatial) {
			rank++
		}
		if o.up == d.up && o.limit.Spatial >= current {
			return rank
		}
	}
	return 0
}
